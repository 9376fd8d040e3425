// Starts and ends monitoring with AO's own client, as users do. Makes a wallet, prints its address, and then carries out
// the lines of its standard input: `monitor URL PROCESS` and `unmonitor URL PROCESS`. Prints `ok` or `failed TEXT` for each.
import { connect, createDataItemSigner } from '@permaweb/aoconnect';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { createInterface } from 'node:readline';

const wallet = generateKeyPairSync('rsa', { modulusLength: 4096 }).privateKey.export({ format: 'jwk' });
console.log(createHash('sha256').update(Buffer.from(wallet.n, 'base64url')).digest('base64url'));

for await (const line of createInterface({ input: process.stdin })) {
  const [call, url, id] = line.split(' ');
  const ao = connect({ MODE: 'legacy', MU_URL: url, CU_URL: url });
  try {
    await ao[call]({ process: id, signer: createDataItemSigner(wallet) });
    console.log('ok');
  } catch (error) {
    console.log('failed', String(error.message).split('\n')[0]);
  }
}
