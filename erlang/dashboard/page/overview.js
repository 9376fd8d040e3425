// The overview: current values, charts, and in a cluster its host nodes, shards and database.
const TILES = [
  ['Monitors', (m) => count_text(m.monitors)],
  ['Fetching', (m) => short(m.fetches_inflight)],
  ['Waiting to fetch', (m) => short(m.fetches_queued)],
  ['In memory', (m) => bytes(m.buffered_bytes), null, 'bytes of results that are fetched and not acked'],
  ['Longest push', (m) => duration(m.oldest_push_seconds * 1000)],
  ['Stalled pushes', (m) => short(m.stalled_pushes), (m) => m.stalled_pushes > 0],
  ['Dead letters', (m) => short(m.dead_letters), (m) => m.dead_letters > 0],
  ['Open breakers', (m) => short(m.open_breakers), (m) => m.open_breakers > 0, 'CU hosts that get no requests for a while, because they fail'],
  ['Checkpoint', (m) => m.checkpoint_failing > 0 ? 'failing' : 'ok', (m) => m.checkpoint_failing > 0]
];

const CLUSTER_TILES = [
  ['Database', (c) => c.connected ? 'connected' : 'no answer', (c) => !c.connected],
  ['Pushing', (c) => c.may_push ? 'allowed' : 'held back', (c) => !c.may_push],
  ['Own shards', (c) => `${c.shards} of ${c.all_shards}`],
  ['Confirmed', (c) => or(c.unconfirmed_ms, ago), (c) => c.unconfirmed_ms === null || c.unconfirmed_ms >= c.ttl_ms / 2, 'when the database last confirmed this host node'],
  ['Oldest unsaved ack', (c) => duration(c.unsaved_ms), (c) => c.unsaved_ms >= 500],
  ['Being handed over', (c) => short(c.moving)],
  ['Handed over', (c) => short(c.hand_overs)],
  ['Refused acks', (c) => short(c.fenced), (c) => c.fenced > 0],
  ['Stand-ins', (c) => short(c.stand_ins), null, 'what start/2 returned on this host node']
];

add_tiles($('tiles'), TILES);
add_tiles($('cluster-tiles'), CLUSTER_TILES);
const figures = CHARTS.map((chart) => {
  const keys = chart.series.map(([name], i) => el('span', { className: `key s${i}` }, name));
  const figure = el('figure', {}, el('figcaption', {}, el('span', { className: 'name' }, chart.title, el('span', { className: 'soft' }, ', ' + chart.per)), ...keys), svg('svg', {}));
  $('charts').append(figure);
  return figure;
});

function draw_charts() {
  if (view.process !== '' || document.hidden) return;
  const widths = figures.map((figure) => figure.clientWidth);
  CHARTS.forEach((chart, i) => draw(chart, i, figures[i], widths[i]));
}

// Outside a cluster there is no such section.
function show_cluster(cluster) {
  $('cluster').hidden = cluster === null;
  if (cluster === null) return;
  show_tiles($('cluster-tiles'), CLUSTER_TILES, cluster);
  same_items($('cluster-findings'), cluster.findings, ({ level, what, advice }) => finding(level, what, advice));
  const row = (node) => {
    const bar = el('span', { className: 'bar' }, el('span'));
    return el('tr', {}, el('th', { scope: 'row' }), el('td', { className: 'n' }), el('td', { className: 'n' }), el('td', {}, bar), el('td'));
  };
  resize($('host-nodes'), cluster.nodes.length, row);
  cluster.nodes.forEach((node, i) => {
    const cells = $('host-nodes').children[i].children;
    [node.name + (node.me ? ' (this one)' : ''), or(node.beat_age, ago), count_text(node.shards), null, node.leaving ? 'leaving' : 'member']
      .forEach((text, nth) => { if (text !== null) put(cells[nth], text); });
    cells[3].firstChild.firstChild.style.width = `${100 * node.shards / cluster.all_shards}%`;
  });
  resize($('lanes'), cluster.latency.length, () => el('tr', {}, el('th', { scope: 'row' }), el('td', { className: 'n' }), el('td', { className: 'n' })));
  cluster.latency.forEach(({ lane, median, p99 }, i) => {
    [words(lane), duration(median / 1000), duration(p99 / 1000)].forEach((text, nth) => put($('lanes').children[i].children[nth], text));
  });
}

// A list of as many children.
function resize(list, length, make) {
  while (list.children.length > length) list.lastChild.remove();
  while (list.children.length < length) list.append(make());
}

// Replaces the items of a list only if they differ, since it is read out.
function same_items(list, items, make) {
  const text = JSON.stringify(items);
  if (list.dataset.items === text) return;
  list.dataset.items = text;
  list.replaceChildren(...items.map(make));
}

async function watch() {
  try {
    const answer = await ask('metrics');
    show_tiles($('tiles'), TILES, answer.metrics);
    show_cluster(answer.cluster);
    put($('node'), answer.node);
    remember(answer);
    $('sign-in').hidden = true;
    say($('status'), 'connected');
  } catch (error) {
    remember(null);
    // The focus must not leave the field while it is used.
    if (error.status === 401 && $('sign-in').hidden) $('sign-in').hidden = false;
    say($('status'), 'Not connected. ' + why(error), true);
  }
  draw_charts();
  setTimeout(watch, POLL_MS);
}

$('token-form').onsubmit = async (event) => {
  event.preventDefault();
  set_token($('token').value);
  $('token').value = '';
  try {
    await ask('metrics');
    $('sign-in').hidden = true;
    $('main').focus();
    show_view(null);
  } catch (error) { say($('status'), 'Not connected. ' + why(error), true); }
};
