// The table of monitors. The node sorts, filters and divides it into pages, so the browser has 50 rows of 100,000. Rows are
// reused, so that the focus stays and nothing moves while values change.
const ROWS = 50;
let table_asked = 0, table_timer = 0, counted = 0, held = false, shown_address = '';

const headers = COLUMNS.map(({ key, name, n, hint }) => {
  const arrow = el('span', { className: 'arrow', 'aria-hidden': 'true' });
  const button = el('button', { type: 'button', title: hint ?? '', onclick: () => sort_by(key) }, name, arrow);
  const header = el('th', { scope: 'col', role: 'columnheader', className: n ? 'n ' + key : key }, button);
  $('columns').append(header);
  $('sort').append(el('option', { value: key }, name));
  return header;
});
$('columns').append(el('th', { scope: 'col', role: 'columnheader', className: 'change' }, el('span', { className: 'unseen' }, 'Change')));

const group_buttons = GROUPS.map(([key, name]) => {
  const button = el('button', { type: 'button', onclick: () => go({ show: key }) }, name + ' ', el('span', { className: 'count' }, ''));
  $('groups').append(button);
  return button;
});

// A second click turns the order round.
function sort_by(key) {
  const { first } = COLUMNS.find((column) => column.key === key);
  const order = view.sort !== key ? first : view.order === 'asc' ? 'desc' : 'asc';
  go({ sort: key, order });
}

// The controls say what the address says.
function show_controls() {
  if ($('find').value.trim() !== view.find) $('find').value = view.find;
  $('sort').value = view.sort;
  COLUMNS.forEach(({ key }, i) => {
    const sorted = key === view.sort ? (view.order === 'asc' ? 'ascending' : 'descending') : 'none';
    attribute(headers[i], 'aria-sort', sorted);
  });
  GROUPS.forEach(([key], i) => attribute(group_buttons[i], 'aria-pressed', String(key === view.show)));
}

async function show_rows() {
  clearTimeout(table_timer);
  if (view.process !== '') return;
  const mine = ++table_asked, address = address_of({ process: '' });
  try {
    if (!document.hidden) {
      const { find, show, sort, order, page } = view;
      if (address !== shown_address) $('rows').classList.add('old');
      const answer = await ask('monitors?' + new URLSearchParams({ find, show, sort, order, page, limit: ROWS }));
      if (mine !== table_asked || view.process !== '') return;
      const last = Math.max(1, Math.ceil(answer.count / ROWS));
      // The page is no longer there.
      if (page > last) { go({ page: last }, 'replace'); return; }
      fill(answer, address === shown_address && held);
      shown_address = address;
      say_count(answer, last);
    }
  } catch (error) {
    if (mine !== table_asked) return;
    say($('shown'), why(error), true);
  }
  table_timer = setTimeout(show_rows, POLL_MS);
}

function say_count({ count, counts, monitors, age }, last) {
  counted = count;
  const from = (view.page - 1) * ROWS;
  say($('shown'), count === 0 ? (view.find === '' && view.show === 'all' ? 'no monitors' : 'no monitor fits') : `${count_text(from + 1)}–${count_text(Math.max(from + 1, Math.min(count, from + ROWS)))} of ${plural(count, 'monitor')}`);
  put($('order-age'), held ? 'order kept while you point at it' : age === null || view.sort === 'process' ? '' : `order ${duration(Math.max(1000, age))} old`);
  $('first').disabled = $('previous').disabled = view.page === 1;
  $('next').disabled = $('last').disabled = view.page >= last;
  if (counts !== null) GROUPS.forEach(([key], i) => put(group_buttons[i].lastChild, count_text(counts[key])));
}

// If the order is kept, rows that would go or come wait.
function fill({ monitors, now }, keep) {
  const body = $('rows'), known = new Map([...body.children].map((row) => [row.dataset.process, row]));
  body.classList.remove('old');
  if (keep) {
    monitors.forEach((monitor) => { if (known.has(monitor.process)) update(known.get(monitor.process), monitor, now); });
    return;
  }
  monitors.forEach((monitor, i) => {
    const row = known.get(monitor.process) ?? new_row(monitor.process);
    known.delete(monitor.process);
    if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null);
    update(row, monitor, now);
  });
  known.forEach((row) => row.remove());
}

function new_row(process) {
  const cell = ({ key, n }) => el('td', { role: 'cell', className: n ? 'n ' + key : key });
  const open = link_to(() => ({ process }), { className: 'id' }, process);
  const row = el('tr', { role: 'row' }, el('th', { scope: 'row', role: 'rowheader', className: 'process' }, open), ...COLUMNS.slice(1).map(cell),
                 el('td', { role: 'cell', className: 'change' }, action_button(() => process)));
  row.dataset.process = process;
  // Read out and shown before the value where there are no column headers.
  COLUMNS.forEach(({ name, narrow }, i) => { if (i > 1) row.children[i].dataset.name = narrow ?? name; });
  row.children[1].append(el('span', { className: 'state' }));
  return row;
}

function update(row, monitor, now) {
  const { state, error } = monitor, cells = row.children;
  const at_push = state === 'pushing' && monitor.at_push >= 1000 ? ' for ' + duration(monitor.at_push) : '';
  const next = monitor.next_result === null ? or(monitor.next_tick, (ms) => 'tick ' + in_time(ms))
    : monitor.next_result === 0 ? 'due' : in_time(monitor.next_result);
  [null, null, or(monitor.lag, duration), or(monitor.cursor_age, duration), or(monitor.last_result, (at) => ago(now - at)), next,
   monitor.unacked === 0 ? '–' : count_text(monitor.unacked), monitor.dead_letters === 0 ? '–' : count_text(monitor.dead_letters),
   error === null ? '' : error_text(error)].forEach((text, i) => { if (text !== null) put(cells[i], text); });
  set_state(cells[1].firstChild, state, words(state) + at_push);
  attribute(cells[0].firstChild, 'href', address_of({ process: monitor.process }));
  cells[7].classList.toggle('bad', monitor.dead_letters > 0);
  attribute(cells[8], 'title', error === null ? null : cells[8].textContent);
  const change = cells[9].firstChild;
  set_action(change, pausing(state), monitor.process);
  change.disabled = state === 'stopping';
}

function set_state(node, state, text) {
  put(node, text);
  const name = 'state ' + state;
  if (node.className !== name) node.className = name;
}

// Rows that are pointed at, or have the focus, do not change their places.
$('rows').addEventListener('pointerenter', ({ pointerType }) => { held = pointerType === 'mouse'; });
$('rows').addEventListener('pointerleave', () => { held = $('rows').contains(document.activeElement); });
$('rows').addEventListener('focusin', () => { held = document.activeElement.matches(':focus-visible'); });
$('rows').addEventListener('focusout', () => { held = false; });

let find_timer = 0;
$('find').oninput = () => {
  clearTimeout(find_timer);
  // Each letter does not become a step back.
  find_timer = setTimeout(() => go({ find: $('find').value.trim() }, 'replace'), 150);
};
$('filter').onsubmit = (event) => event.preventDefault();
$('sort').onchange = () => sort_by($('sort').value);
$('first').onclick = () => go({ page: 1 });
$('previous').onclick = () => { if (view.page > 1) go({ page: view.page - 1 }); };
$('next').onclick = () => { if (view.page * ROWS < counted) go({ page: view.page + 1 }); };
$('last').onclick = () => go({ page: Math.max(1, Math.ceil(counted / ROWS)) });
