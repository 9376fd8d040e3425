// Records the items of test/support/items with new keys: node record.mjs DIRECTORY. Prints the two addresses, which
// test/support/recorded_items.erl has.
import { connect, createDataItemSigner } from '@permaweb/aoconnect';
import { EthereumSigner, createData } from '@dha-team/arbundles';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

const PROCESS = 'ExampleProcess-ExampleProcess-ExampleProces';
const address = (key) => createHash('sha256').update(key).digest('base64url');
const bodies = [];
const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    bodies.push(Buffer.concat(parts));
    response.end('ok');
  });
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const url = `http://127.0.0.1:${server.address().port}`;
const ao = connect({ MODE: 'legacy', MU_URL: url, CU_URL: url });
const wallet = generateKeyPairSync('rsa', { modulusLength: 4096 }).privateKey.export({ format: 'jwk' });
for (const call of ['monitor', 'monitor', 'unmonitor']) {
  await ao[call]({ process: PROCESS, signer: createDataItemSigner(wallet) });
}
server.close();
const signer = new EthereumSigner(randomBytes(32).toString('hex'));
const item = createData(' ', signer, { target: PROCESS });
await item.sign(signer);
bodies.push(item.getRaw());
['monitor-1', 'monitor-2', 'unmonitor', 'ethereum'].forEach((name, n) => {
  writeFileSync(`${process.argv[2]}/${name}.item`, bodies[n]);
});
console.log(address(Buffer.from(wallet.n, 'base64url')), address(signer.publicKey));
