// The charts: keeps the history of what the page received, computes rates of counters and quantiles of histograms, and
// draws them as SVG. The node keeps no history of them.
const KEPT_MS = 600000, SHOWN_MS = 120000;
const told = { last: null, points: [], end: 0 };

const sum = (values) => Object.values(values).reduce((all, value) => all + value, 0);

// The increase per second; null if the value decreased, because the counter was reset.
function rate(read) {
  return (before, now) => {
    const more = read(now.metrics) - read(before.metrics);
    return more < 0 ? null : more * 1000 / (now.at - before.at);
  };
}

// The value that a share of the new entries does not exceed, interpolated linearly within a bucket.
function quantile(name, part) {
  return (before, now) => {
    const a = before.metrics[name].buckets, b = now.metrics[name].buckets;
    const more = b.map(([, count], i) => count - a[i][1]);
    const all = more[more.length - 1];
    if (!(all > 0)) return null;
    const i = more.findIndex((count) => count >= part * all);
    const low = i > 0 ? b[i - 1][0] : 0, below = i > 0 ? more[i - 1] : 0, high = b[i][0];
    return high === null ? low : low + (high - low) * (part * all - below) / (more[i] - below);
  };
}

const count = (name) => (metrics) => metrics[name].count;

const CHARTS = [
  { title: 'Results pushed', unit: perSecond, per: 'per second', least: 1, series: [
    ['results', rate(count('push_duration_seconds'))]] },
  { title: 'Pages and fetches', unit: perSecond, per: 'per second', least: 1, series: [
    ['fetches', rate((m) => m.fetches_total)], ['pages acked', rate(count('page_duration_seconds'))]] },
  { title: 'Lag', unit: seconds, per: 'from a result to its push', least: 0.01, series: [
    ['median', quantile('lag_seconds', 0.5)], ['99 %', quantile('lag_seconds', 0.99)]] },
  { title: 'Errors', unit: perSecond, per: 'per second', least: 1, series: [
    ['failed fetches', rate((m) => sum(m.fetch_failures_total))],
    ['failed pushes', rate((m) => m.push_failures_total)]] }
];

// Adds an answer to the history, or a gap for null. An answer that comes late also begins with a gap.
function remember(answer) {
  if (answer === null && told.end === 0) return;
  const now = answer === null ? told.end + POLL_MS : answer.at;
  told.end = now;
  if (answer === null || told.last === null || answer.at - told.last.at > 3 * POLL_MS) {
    told.points.push({ at: now, values: null });
  } else if (answer.at > told.last.at) {
    told.points.push({ at: now, values: CHARTS.map(({ series }) => series.map(([, of]) => of(told.last, answer))) });
  }
  told.last = answer;
  told.points = told.points.filter(({ at }) => at > now - KEPT_MS);
}

function perSecond(value) { return short(value) + '/s'; }
function seconds(value) { return duration(value * 1000); }

// The least step of 1, 2 or 5 times a power of ten of which three reach the value.
function stepFor(most) {
  const rough = most / 3, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => step >= rough * 0.999);
}

// The visible time: at first two minutes, later the whole history.
function span() {
  const since = told.points.length > 0 ? told.end - told.points[0].at : 0;
  return Math.min(KEPT_MS, Math.max(SHOWN_MS, since));
}

const HEIGHT = 116, LEFT = 46, RIGHT = 4, TOP = 8, BOTTOM = 20;
const SVG = 'http://www.w3.org/2000/svg';

function svg(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

// A path with breaks at missing values. A value between two gaps becomes a dot.
function line(points, x, y) {
  let path = '', open = false;
  points.forEach(([at, value], i) => {
    if (value === null) { open = false; return; }
    path += (open ? 'L' : 'M') + x(at).toFixed(1) + ' ' + y(value).toFixed(1);
    const next = points[i + 1];
    if (!open && (next === undefined || next[1] === null)) path += 'h0.1';
    open = true;
  });
  return path;
}

// As wide as there is room, so that letters keep their size.
function draw(chart, nth, figure, room) {
  const WIDTH = Math.max(200, room - 24);
  const lines = chart.series.map((_, i) =>
    told.points.map(({ at, values }) => [at, values === null ? null : values[nth][i]]));
  const known = lines.flat().map(([, value]) => value).filter((value) => value !== null);
  const step = stepFor(Math.max(...known, chart.least)), top = step * Math.max(1, Math.ceil(Math.max(...known, chart.least) / step - 0.001));
  const shown_ms = span(), minutes = shown_ms / 60000, every = minutes <= 2.5 ? 1 : minutes <= 6 ? 2 : 5;
  const x = (at) => WIDTH - RIGHT - (told.end - at) / shown_ms * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
  const latest = lines.map((points) => points.length > 0 ? points[points.length - 1][1] : null);
  const words = chart.series.map(([name], i) => name + ' ' + (latest[i] === null ? 'none' : chart.unit(latest[i])));
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, height: HEIGHT, role: 'img', 'aria-label': `${chart.title}, ${chart.per}; now: ${words.join(', ')}` });
  for (let value = 0; value <= top * 1.001; value += step) {
    picture.append(svg('line', { class: 'grid', x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
                   svg('text', { x: LEFT - 6, y: y(value) + 4, 'text-anchor': 'end' }, chart.unit(value)));
  }
  for (let past = 0; past <= minutes - every / 4; past += every) {
    picture.append(svg('text', { x: x(told.end - past * 60000), y: HEIGHT - 6, 'text-anchor': past === 0 ? 'end' : 'middle' },
                       past === 0 ? 'now' : `${past} min ago`));
  }
  lines.forEach((points, i) => picture.append(svg('path', { class: `s${i}`, d: line(points, x, y) })));
  figure.querySelector('svg').replaceWith(picture);
  figure.querySelectorAll('.key').forEach((key, i) => { key.textContent = words[i]; });
}
