// What is shown is in the address: the filter, the order, the page, and the process. So a view can be shared and
// bookmarked, a reload shows it again, and the browser's buttons go back and forth.
const COLUMNS = [
  { key: 'process', name: 'Process', first: 'asc' },
  { key: 'state', name: 'State', first: 'desc', hint: 'the worst first' },
  { key: 'lag', name: 'Lag', first: 'desc', n: true, hint: 'from the time of the last acked result to its push' },
  { key: 'cursor_age', name: 'Cursor age', first: 'desc', n: true, hint: 'how long ago the last acked result was made' },
  { key: 'last_result', name: 'Last push', narrow: 'Push', first: 'asc', n: true, hint: 'when a result was last pushed' },
  { key: 'next', name: 'Next', first: 'asc', n: true, hint: 'when the next result is expected, otherwise the next tick' },
  { key: 'unacked', name: 'Unacked', first: 'desc', n: true, hint: 'results that are fetched and not acked' },
  { key: 'dead_letters', name: 'Letters', first: 'desc', n: true, hint: 'dead letters: results that were given up' },
  { key: 'errors', name: 'Error', first: 'desc', hint: 'by the number of failures since the last success' }
];
const GROUPS = [['all', 'All'], ['errors', 'Errors'], ['dead_letters', 'Dead letters'], ['backing_off', 'Backing off'],
                ['paused', 'Paused'], ['pushing', 'Pushing'], ['polling', 'Polling'], ['idle', 'Idle'], ['other', 'Other']];
const START = { find: '', show: 'all', sort: 'process', order: 'asc', page: 1, process: '' };

let view = read_address();

// Values that mean nothing are replaced by the usual ones.
function read_address() {
  const given = new URLSearchParams(location.search), text = (key) => (given.get(key) ?? '').slice(0, 100);
  const column = COLUMNS.find(({ key }) => key === text('sort')) ?? COLUMNS[0];
  const page = /^[1-9][0-9]{0,6}$/.test(text('page')) ? Number(text('page')) : 1;
  return {
    find: text('find').slice(0, 43), page, sort: column.key,
    order: ['asc', 'desc'].includes(text('order')) ? text('order') : column.first,
    show: GROUPS.some(([key]) => key === text('show')) ? text('show') : 'all',
    process: /^[\w-]{43}$/.test(text('process')) ? text('process') : ''
  };
}

function address_of(changes) {
  const to = { ...view, ...changes }, query = new URLSearchParams();
  const usual = COLUMNS.find(({ key }) => key === to.sort).first;
  for (const key of Object.keys(START)) {
    const same = key === 'order' ? to.order === usual : to[key] === START[key];
    if (!same) query.set(key, to[key]);
  }
  const text = query.toString();
  return '/' + (text === '' ? '' : '?' + text);
}

// Shows another view. Other rows begin with their first page.
function go(changes, how = 'push') {
  const others = ['find', 'show', 'sort', 'order'].some((key) => key in changes);
  const all = others ? { page: 1, ...changes } : changes;
  const address = address_of(all);
  if (address === location.pathname + location.search) return;
  const before = view;
  view = { ...view, ...all };
  if (how === 'replace') history.replaceState(null, '', address); else history.pushState(null, '', address);
  show_view(before);
}

addEventListener('popstate', () => {
  const before = view;
  view = read_address();
  show_view(before);
});

// A click on a link to a view changes the view; with a key or another button, the browser opens the link.
function link_to(changes, properties, ...children) {
  const link = el('a', properties, ...children);
  link.setAttribute('href', address_of(changes()));
  link.onclick = (event) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(changes());
  };
  return link;
}
