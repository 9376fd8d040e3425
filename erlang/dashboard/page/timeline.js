// The time line of a process: what the node knows of it, and what came while the page was open. The node keeps a few events
// of each process; the page keeps more of the one that it shows.
const EVENTS = 14, MOST_EVENTS = 300;
const SPANS = [1, 2, 5, 15, 30, 60, 180, 720, 1440].map((minutes) => minutes * 60000);
const past = { process: '', events: new Map(), letters: [] };

function forget_past(process) {
  past.process = process;
  past.events.clear();
  past.letters = [];
}

// An event has no number: two of the same time and kind are one.
function add_events(events) {
  for (const event of events) past.events.set(`${event.at} ${event.what} ${event.count ?? event.text}`, event);
  if (past.events.size > MOST_EVENTS) {
    const old = [...past.events.keys()].sort((a, b) => past.events.get(a).at - past.events.get(b).at);
    old.slice(0, old.length - MOST_EVENTS).forEach((key) => past.events.delete(key));
  }
}

function all_events() {
  const letters = past.letters.filter(({ id, at }) => ![...past.events.values()].some((e) => e.what === 'dead_letter' && Math.abs(e.at - at) < 2000))
    .map(({ id, at, attempts, error }) => ({ at, what: 'dead_letter', status: 'error', text: `number ${id} after ${plural(attempts, 'try').replace('trys', 'tries')}: ${error}` }));
  return [...past.events.values(), ...letters].sort((a, b) => b.at - a.at);
}

function event_words(event) {
  if (event.what === 'pushed') {
    return ['pushed', `Pushed ${plural(event.count, 'result')}`,
            `in ${duration(event.us / 1000)}` + (event.lag === null ? '' : `, ${duration(event.lag)} after ${event.count === 1 ? 'the result' : 'the last result'}`)];
  }
  const of = event.result_time ? `result of ${clock(event.result_time)}: ` : '';
  return [event.status === 'error' ? (event.what === 'dead_letter' ? 'letter' : 'error') : 'other',
          event.what.charAt(0).toUpperCase() + words(event.what).slice(1), of + event.text];
}

// As many rows from the beginning, which are reused: nothing moves when an event comes.
const event_rows = Array.from({ length: EVENTS }, () => {
  const row = el('tr', {}, el('td', {}, el('time')), el('td', {}, el('span')), el('td'));
  $('event-rows').append(row);
  return row;
});

function show_events(now, info) {
  const events = all_events();
  event_rows.forEach((row, i) => {
    const event = events[i], [time, what, details] = [row.children[0].firstChild, row.children[1].firstChild, row.children[2]];
    const [kind, name, text] = event === undefined ? ['', i === 0 ? 'Nothing yet' : '', ''] : event_words(event);
    put(time, event === undefined ? '' : clock(event.at));
    attribute(time, 'datetime', event === undefined ? null : new Date(event.at).toISOString());
    attribute(time, 'title', event === undefined ? null : ago(now - event.at));
    put(what, name);
    if (what.className !== kind) what.className = kind;
    row.classList.toggle('none', event === undefined);
    put(details, text);
    attribute(details, 'title', text === '' ? null : text);
  });
  draw_line(events, now, info);
}

// From the oldest event that fits to the next result, with a mark for each event. Kinds have different shapes.
function draw_line(events, now, info) {
  const width = Math.max(260, $('line').clientWidth), height = 74, base = 40, next = next_times(info);
  const oldest = events.length === 0 ? 0 : now - events[Math.min(events.length, 40) - 1].at;
  const span = SPANS.find((ms) => ms >= oldest) ?? SPANS[SPANS.length - 1];
  const ahead = Math.min(span, Math.max(span / 8, ...next.filter(({ ms }) => ms <= span).map(({ ms }) => ms * 1.15)));
  const x = (at) => 8 + (at - now + span) / (span + ahead) * (width - 16);
  const seen = events.filter(({ at }) => at >= now - span);
  const count = (kind) => seen.filter((event) => event_words(event)[0] === kind).length;
  const picture = svg('svg', { viewBox: `0 0 ${width} ${height}`, height, role: 'img',
    'aria-label': `The last ${duration(span)}: ${plural(count('pushed'), 'push').replace('pushs', 'pushes')}, ${plural(count('error'), 'failure')}, ${plural(count('letter'), 'dead letter')}. ` +
                  next.map(({ name, ms }) => `${name} in ${duration(ms)}`).join(', ') });
  picture.append(svg('line', { class: 'grid', x1: 8, x2: width - 8, y1: base, y2: base }),
                 svg('line', { class: 'now', x1: x(now), x2: x(now), y1: base - 26, y2: base + 12 }),
                 svg('text', { x: 8, y: height - 4 }, duration(span) + ' ago'),
                 svg('text', { x: x(now), y: height - 4, 'text-anchor': 'middle' }, 'now'));
  for (const event of [...seen].reverse()) {
    const [kind] = event_words(event), at = x(event.at).toFixed(1);
    const tall = 6 + 4 * Math.min(4, Math.log10(1 + (event.count ?? 1)));
    const path = { pushed: `M${at} ${base}v${-tall}`, error: `M${at - 4} ${base - 4}l8 8m0 -8l-8 8`, letter: `M${at} ${base - 6}l6 6l-6 6l-6 -6z` };
    picture.append(svg('path', { class: kind, d: path[kind] ?? `M${at - 3} ${base}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0` }));
  }
  next.filter(({ ms }) => ms <= ahead).forEach(({ name, ms }, i) => {
    const at = x(now + ms), end = at > width - 60 ? 'end' : 'middle';
    picture.append(svg('circle', { class: 'next', cx: at, cy: base, r: 5 }), svg('text', { x: end === 'end' ? width - 8 : at, y: i % 2 === 0 ? 10 : 22, 'text-anchor': end }, name));
  });
  $('line').replaceChildren(picture);
  put($('line-note'), 'Failures since the start of the application, with repeats thinned out; pushes since the dashboard was first started. ' +
      'A busy node keeps fewer. What comes while this page is open is added.');
}

function next_times(info) {
  if (info === null) return [];
  const times = [['result expected', info.next_result], ['next try', info.next_try], ['tick', info.next_result === null ? info.next_tick : null]];
  return times.filter(([, ms]) => ms !== null).map(([name, ms]) => ({ name, ms }));
}
