// The dashboard's script: asks the node, shows the answers, and carries out what a button says. Everything that comes
// from the node is shown as text and never as HTML, since errors and results are foreign text. charts.js comes first.
const ROWS = 50;
const $ = (id) => document.getElementById(id);

// Remove the token from the address bar at once, so that no bookmark and no screenshot has it. The tab keeps it.
const token = (() => {
  const given = location.hash.slice(1);
  try {
    if (given !== '') sessionStorage.setItem('token', given);
    window.history.replaceState(null, '', location.pathname);
    return given || sessionStorage.getItem('token') || '';
  } catch { return given; }
})();

// A new token in the address bar of the same tab does not reload the page by itself.
addEventListener('hashchange', () => location.reload());

class Refusal extends Error {}

async function ask(path, method = 'GET') {
  const answer = await fetch('/api/1/' + path, {
    method, headers: { authorization: 'Bearer ' + token }, cache: 'no-store', signal: AbortSignal.timeout(20000)
  }).catch(() => { throw new Refusal('The node cannot be reached.'); });
  const body = await answer.json().catch(() => ({ text: `The node answered with status ${answer.status}.` }));
  if (!answer.ok) throw new Refusal(body.text);
  return body;
}

function why(error) {
  if (error instanceof Refusal) return error.message;
  console.error(error);
  return 'The dashboard has an error. The console of the browser has details.';
}

// Text children become text nodes, whatever they contain.
function el(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function say(node, text, bad = false) {
  node.classList.toggle('bad', bad);
  if (node.textContent !== text) node.textContent = text;
}

function duration(ms) {
  if (ms < 1) return ms === 0 ? '0 s' : Number(ms.toPrecision(2)) + ' ms';
  if (ms < 1000) return Math.round(ms) + ' ms';
  for (const [unit, size] of [['d', 86400000], ['h', 3600000], ['min', 60000], ['s', 1000]]) {
    if (ms >= size) return (ms / size >= 10 ? Math.round(ms / size) : Number((ms / size).toFixed(1))) + ' ' + unit;
  }
}

const or = (value, show) => value === null ? '–' : show(value);
const ago = (ms) => duration(Math.max(0, ms)) + ' ago';
const bytes = (n) => n < 10240 ? n + ' B' : n < 10485760 ? Math.round(n / 1024) + ' KiB' : Math.round(n / 1048576) + ' MiB';
const error_text = (e) => `${e.what} ${e.class}${e.failures > 1 ? ` ${e.failures} times` : ''}, ${ago(e.ago)}: ${e.text}`;

// Current values, and charts

const TILES = [
  ['Monitors', (m) => short(m.monitors)],
  ['Fetching', (m) => short(m.fetches_inflight)],
  ['Waiting to fetch', (m) => short(m.fetches_queued)],
  ['In memory', (m) => bytes(m.buffered_bytes)],
  ['Longest push', (m) => duration(m.oldest_push_seconds * 1000)],
  ['Stalled pushes', (m) => short(m.stalled_pushes), (m) => m.stalled_pushes > 0],
  ['Dead letters', (m) => short(m.dead_letters), (m) => m.dead_letters > 0],
  ['Open breakers', (m) => short(m.open_breakers), (m) => m.open_breakers > 0],
  ['Checkpoint', (m) => m.checkpoint_failing > 0 ? 'failing' : 'ok', (m) => m.checkpoint_failing > 0]
];

const CLUSTER_TILES = [
  ['Database', (c) => c.connected ? 'connected' : 'no answer', (c) => !c.connected],
  ['Pushing', (c) => c.may_push ? 'allowed' : 'held back', (c) => !c.may_push],
  ['Own shards', (c) => `${c.shards} of ${c.all_shards}`],
  ['Being handed over', (c) => short(c.moving)],
  ['Handed over', (c) => short(c.hand_overs)],
  ['Oldest unsaved ack', (c) => duration(c.unsaved_ms), (c) => c.unsaved_ms >= 500]
];

function add_tiles(list, tiles) {
  for (const [name] of tiles) list.append(el('div', {}, el('dt', {}, name), el('dd', {}, '–')));
}

function show_tiles(list, tiles, of) {
  const values = list.querySelectorAll('dd');
  tiles.forEach(([, show, is_bad], i) => say(values[i], show(of), is_bad !== undefined && is_bad(of)));
}

add_tiles($('tiles'), TILES);
add_tiles($('cluster-tiles'), CLUSTER_TILES);
const figures = CHARTS.map((chart) => {
  const keys = chart.series.map(([name], i) => el('span', { className: `key s${i}` }, name));
  const figure = el('figure', {}, el('figcaption', {}, `${chart.title}, ${chart.per}`, ...keys), svg('svg', {}));
  $('charts').append(figure);
  return figure;
});

function show_now(answer) {
  show_tiles($('tiles'), TILES, answer.metrics);
  show_cluster(answer.cluster);
  say($('node'), answer.node);
  if ($('state').options.length === 1) for (const state of answer.states) $('state').append(el('option', { value: state }, words(state)));
}

// Outside a cluster there is no such section.
function show_cluster(cluster) {
  $('cluster').hidden = cluster === null;
  if (cluster === null) return;
  show_tiles($('cluster-tiles'), CLUSTER_TILES, cluster);
  say($('cluster-error'), cluster.error ?? '');
  $('host-nodes').replaceChildren(...cluster.nodes.map((node) => el('tr', {},
    el('th', { scope: 'row' }, node.name + (node.me ? ' (this one)' : '')),
    el('td', { className: 'n' }, or(node.beat_age, ago)),
    el('td', { className: 'n' }, String(node.shards)),
    el('td', {}, node.leaving ? 'leaving' : 'member'))));
}

const words = (state) => state.replace('_', ' ');

async function watch() {
  try {
    const answer = await ask('metrics');
    show_now(answer);
    remember(answer);
    say($('status'), 'connected');
  } catch (error) {
    remember(null);
    say($('status'), 'Not connected. ' + why(error), true);
  }
  CHARTS.forEach((chart, i) => draw(chart, i, figures[i]));
  setTimeout(watch, POLL_MS);
}

// Monitors, one listing at a time

// The processes after which the visited listings and the next listing begin.
let starts = [''], next = null, asked = 0, timer = 0;

// One answer may contain few matches and still not be the last.
async function page_of_rows(mine) {
  const rows = [];
  let after = starts[starts.length - 1], now = 0;
  do {
    const query = new URLSearchParams({ after, limit: ROWS - rows.length, state: $('state').value, prefix: $('prefix').value.trim() });
    const answer = await ask('monitors?' + query);
    rows.push(...answer.monitors);
    after = answer.next;
    now = answer.now;
    if (mine !== asked) return null;
    if (rows.length < ROWS && after !== null) say($('shown'), 'searching …');
  } while (rows.length < ROWS && after !== null);
  return { rows, now, next: after };
}

async function show_rows() {
  clearTimeout(timer);
  const mine = ++asked, began = performance.now();
  try {
    const page = document.hidden ? null : await page_of_rows(mine);
    if (mine !== asked) return;
    if (page !== null) {
      next = page.next;
      fill(page);
      say($('shown'), page.rows.length === 0 ? 'none' : `page ${starts.length}: ${page.rows.length} monitors` + (next === null ? '' : ', more follow'));
    }
  } catch (error) {
    if (mine !== asked) return;
    say($('shown'), why(error), true);
  }
  $('previous').disabled = starts.length === 1;
  $('next').disabled = next === null;
  // Request expensive listings less often: they use at most a tenth of a core.
  timer = setTimeout(show_rows, Math.max(POLL_MS, 10 * (performance.now() - began)));
}

// Rows are reused, so that the focus stays.
function fill({ rows, now }) {
  const body = $('rows'), known = new Map([...body.children].map((row) => [row.dataset.process, row]));
  rows.forEach((monitor, i) => {
    const row = known.get(monitor.process) ?? new_row(monitor.process);
    known.delete(monitor.process);
    if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null);
    update(row, monitor, now);
  });
  known.forEach((row) => row.remove());
}

function new_row(process) {
  const cell = (className) => el('td', { className });
  const open = el('button', { type: 'button', className: 'id', onclick: () => show_detail(process) }, process);
  const change = el('button', { type: 'button', onclick: () => act(change, process) }, '');
  const row = el('tr', {}, el('th', { scope: 'row' }, open), cell(''), cell('n'), cell('n'), cell('n'), cell('error'), cell('n'), cell('n'),
                 el('td', {}, change));
  row.dataset.process = process;
  return row;
}

function update(row, monitor, now) {
  const { state, error } = monitor, cells = row.children, change = cells[8].firstChild;
  const at_push = state === 'pushing' && monitor.at_push >= 1000 ? ' for ' + duration(monitor.at_push) : '';
  const texts = [words(state) + at_push, or(monitor.cursor_age, duration), or(monitor.lag, duration),
                 or(monitor.last_result, (at) => ago(now - at)), error === null ? '' : error_text(error),
                 or(monitor.next_tick, (ms) => 'in ' + duration(ms)), monitor.dead_letters === 0 ? '–' : String(monitor.dead_letters)];
  texts.forEach((text, i) => { if (cells[i + 1].textContent !== text) cells[i + 1].textContent = text; });
  cells[1].className = state;
  cells[5].title = texts[4];
  change.dataset.what = state === 'paused' || state === 'pausing' ? 'resume' : 'pause';
  const label = change.dataset.what === 'resume' ? 'Resume' : 'Pause';
  if (change.textContent !== label) change.textContent = label;
  change.setAttribute('aria-label', label + ' ' + monitor.process);
  change.disabled = state === 'stopping';
}

async function act(button, process) {
  button.disabled = true;
  try { await ask(`monitors/${process}/${button.dataset.what}`, 'POST'); }
  catch (error) { say($('shown'), why(error), true); }
  button.disabled = false;
  show_rows();
}

function turn(to) { starts = to; show_rows(); }

$('next').onclick = () => { if (next !== null) turn([...starts, next]); };
$('previous').onclick = () => turn(starts.slice(0, Math.max(1, starts.length - 1)));
$('state').onchange = $('prefix').oninput = () => turn(['']);
$('filter').onsubmit = (event) => event.preventDefault();
document.addEventListener('visibilitychange', () => { if (!document.hidden) show_rows(); });

// One monitor, and its dead letters

let shown = '', last_letter = 0;

const WHY = {
  rate: 'cron_poll is rate', no_result: 'no result was seen yet',
  untimed: 'a cron runs in blocks, or its cursors do not say when it runs',
  unseen: 'the process has a cron that has not run yet', delay: 'the delay of the CU is not known yet'
};

function asking({ asks, longest_gap, crons }) {
  if (asks === null) return '–';
  if (asks.how === 'every_tick') return 'at every tick: ' + WHY[asks.why];
  const safety = longest_gap === null ? '' : `, and at least every ${duration(longest_gap)}`;
  if (asks.how === 'rarely') return 'no cron of the process ever runs' + safety;
  return `when the result of ${new Date(asks.result_time).toISOString()} is expected${safety}, ` +
         (crons === null ? 'tags not known' : 'tags known');
}

const INFO = [
  ['State', (i) => words(i.state) + (i.stalled ? ', stalled' : '')],
  ['Error', (i) => i.error === null ? 'none' : error_text(i.error)],
  ['Next tick', (i) => or(i.next_tick, (ms) => 'in ' + duration(ms))],
  ['Next result', (i) => or(i.next_result, (ms) => ms === 0 ? 'due' : 'expected in ' + duration(ms))],
  ['Asking', (i) => asking(i)],
  ['Lag', (i) => or(i.lag, duration)],
  ['Requests', (i) => or(i.requests_per_result, (n) => `${n.toFixed(2)} a result`)],
  ['Next try', (i) => or(i.next_try, (ms) => 'in ' + duration(ms))],
  ['Rate', (i) => or(i.rate, (ms) => 'a tick every ' + duration(ms))],
  ['Unacked', (i) => `${i.unacked} results; ${bytes(i.buffered_bytes)} in memory`],
  ['Cursor', (i) => or(i.cursor, String)],
  ['Cursor time', (i) => or(i.cursor_time, (at) => new Date(at).toISOString())],
  ['Compute Units', (i) => i.nodes.map(({ node, breaker }) => node + (node === i.node ? ' (used next)' : '') + (breaker === 'closed' ? '' : `, breaker ${breaker}`)).join('; ') || '–'],
  ['Pushed with', (i) => String(i.push)],
  ['Monitor', (i) => i.monitor + (i.supervised ? ', supervised by the host' : '')]
];

async function show_detail(process) {
  shown = process;
  say($('detail-title'), process);
  say($('detail-status'), '');
  $('detail-info').replaceChildren();
  if (!$('detail').open) $('detail').showModal();
  await Promise.all([show_info(process), show_letters(process, 0)]);
}

async function show_info(process) {
  try {
    const info = await ask('monitors/' + process);
    if (shown === process) $('detail-info').replaceChildren(...INFO.flatMap(([name, show]) => [el('dt', {}, name), el('dd', {}, show(info))]));
  } catch (error) { if (shown === process) say($('detail-status'), why(error), true); }
}

async function show_letters(process, after) {
  if (after === 0) $('letters').replaceChildren();
  $('more-letters').hidden = true;
  try {
    const answer = await ask(`monitors/${process}/dead-letters` + (after === 0 ? '' : '?after=' + after));
    if (shown !== process) return;
    say($('letters-title'), answer.count === 0 ? 'No dead letters' : `Dead letters: ${answer.count}`);
    $('letters').append(...answer.letters.map((letter) => letter_item(process, letter)));
    last_letter = answer.next;
    $('more-letters').hidden = answer.next === null;
  } catch (error) { if (shown === process) say($('detail-status'), why(error), true); }
}

function letter_item(process, letter) {
  const again = el('button', { type: 'button' }, 'Redeliver'), drop = el('button', { type: 'button' }, 'Discard');
  const outcome = el('span', {});
  outcome.setAttribute('role', 'status');
  const item = el('li', {},
    el('p', {}, `Number ${letter.id}, given up ${new Date(letter.at).toISOString()} after ${letter.attempts} tries`),
    el('p', {}, 'Error'), el('pre', { tabIndex: 0 }, letter.error),
    el('p', {}, `Result, ${bytes(letter.bytes)}, cursor `, el('code', {}, letter.cursor)), el('pre', { tabIndex: 0 }, letter.result),
    again, ' ', drop, ' ', outcome);
  const have = async (what) => {
    again.disabled = drop.disabled = true;
    say(outcome, what === 'redeliver' ? 'pushing …' : '');
    try {
      const answer = await ask(`monitors/${process}/dead-letters/${letter.id}/${what}`, 'POST');
      if (answer.done) { item.remove(); show_info(process); say($('detail-status'), `Number ${letter.id} is ${what === 'discard' ? 'discarded' : 'pushed'}.`); $('close').focus(); }
      else say(outcome, 'The monitor is busy and will push it later.');
    } catch (error) { say(outcome, why(error), true); }
    again.disabled = drop.disabled = false;
  };
  again.onclick = () => have('redeliver');
  // Discarding is final: the first click asks, the second one discards.
  drop.onclick = () => {
    if (drop.classList.contains('sure')) { have('discard'); return; }
    drop.classList.add('sure');
    drop.textContent = 'Discard for good?';
  };
  drop.onblur = () => { drop.classList.remove('sure'); drop.textContent = 'Discard'; };
  return item;
}

$('close').onclick = () => $('detail').close();
$('detail').onclose = show_rows;
$('more-letters').onclick = () => show_letters(shown, last_letter);

watch();
show_rows();
