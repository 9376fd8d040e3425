'use strict';
// The basis of the dashboard's scripts, which are one script in the page: the token, requests to the node, elements, and
// how values are written. Everything that comes from the node is shown as text and never as HTML, since ids, errors and
// results are foreign text.
const POLL_MS = 2000;
const $ = (id) => document.getElementById(id);

// Remove the token from the address bar at once, so that no bookmark and no screenshot has it. The tab keeps it.
let token = (() => {
  const given = location.hash.slice(1);
  try {
    if (given !== '' && given !== 'main') sessionStorage.setItem('token', given);
    if (location.hash !== '') history.replaceState(null, '', location.pathname + location.search);
    return (given !== 'main' && given) || sessionStorage.getItem('token') || '';
  } catch { return given; }
})();

function set_token(text) {
  token = text.trim().split('#').pop();
  try { sessionStorage.setItem('token', token); } catch { /* The tab forgets it when it is reloaded. */ }
}

// A new token in the address bar of the same tab does not reload the page by itself.
addEventListener('hashchange', () => { if (location.hash.length > 20) location.reload(); });

class Refusal extends Error {
  constructor(text, status = 0) { super(text); this.status = status; }
}

async function ask(path, method = 'GET') {
  const answer = await fetch('/api/1/' + path, {
    method, headers: { authorization: 'Bearer ' + token }, cache: 'no-store', signal: AbortSignal.timeout(20000)
  }).catch(() => { throw new Refusal('The node cannot be reached.'); });
  const body = await answer.json().catch(() => ({ text: `The node answered with status ${answer.status}.` }));
  if (!answer.ok) throw new Refusal(body.text, answer.status);
  return body;
}

function why(error) {
  if (error instanceof Refusal) return error.message;
  console.error(error);
  return 'The dashboard has an error. The console of the browser has details.';
}

// Text children become text nodes, whatever they contain. Properties with a hyphen are attributes.
function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-') || name === 'role' || name === 'scope') node.setAttribute(name, value); else node[name] = value;
  }
  node.append(...children);
  return node;
}

// Changes the document only if something changed, so that nothing is laid out or read out again.
function put(node, text) { if (node.textContent !== text) node.textContent = text; }

function say(node, text, bad = false) {
  node.classList.toggle('bad', bad);
  put(node, text);
}

function attribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// Values

function duration(ms) {
  if (ms < 1) return ms === 0 ? '0 s' : Number(ms.toPrecision(2)) + ' ms';
  if (ms < 1000) return Math.round(ms) + ' ms';
  for (const [unit, size] of [['d', 86400000], ['h', 3600000], ['min', 60000], ['s', 1000]]) {
    if (ms >= size) return (ms / size >= 10 ? Math.round(ms / size) : Number((ms / size).toFixed(1))) + ' ' + unit;
  }
}

function short(value) {
  const digits = (number) => number >= 100 || number === 0 ? number.toFixed(0) : Number(number.toPrecision(2)).toString();
  if (value >= 999500) return digits(value / 1000000) + ' M';
  return value >= 9995 ? digits(value / 1000) + ' k' : digits(value);
}

const or = (value, show) => value === null || value === undefined ? '–' : show(value);
// Not in milliseconds, which would change at every look.
const calm = (ms) => ms < 1000 ? '< 1 s' : duration(ms);
const ago = (ms) => calm(ms) + ' ago';
const in_time = (ms) => 'in ' + calm(ms);
const count_text = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ',');
const plural = (n, one) => `${count_text(n)} ${one}${n === 1 ? '' : 's'}`;
const bytes = (n) => n < 10240 ? n + ' B' : n < 10485760 ? Math.round(n / 1024) + ' KiB' : Math.round(n / 1048576) + ' MiB';
const words = (state) => state.replaceAll('_', ' ');
// A class of pushes says that it is one.
const error_text = (e) => `${e.what === 'push' ? '' : 'fetch '}${words(e.class)}${e.failures > 1 ? ` ${e.failures} times` : ''}, ${ago(e.ago)}: ${e.text}`;

// Local time to the second, with the date if that is another day.
function clock(at) {
  const date = new Date(at), two = (n) => String(n).padStart(2, '0');
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return date.toDateString() === new Date().toDateString() ? time : `${day} ${time}`;
}

// The tiles of a list: their names at once, so that nothing moves when the values come.
function add_tiles(list, tiles) {
  for (const [name, , , hint] of tiles) list.append(el('div', { title: hint ?? '' }, el('dt', {}, name), el('dd', {}, '–')));
}

function show_tiles(list, tiles, of) {
  const values = list.querySelectorAll('dd');
  tiles.forEach(([, show, is_bad], i) => say(values[i], show(of), is_bad !== undefined && is_bad !== null && is_bad(of)));
}

// The facts of a list. Elements are reused if the names are the same.
function show_facts(list, facts) {
  while (list.children.length > 2 * facts.length) list.lastChild.remove();
  facts.forEach(([name, text], i) => {
    if (list.children.length <= 2 * i) list.append(el('dt'), el('dd'));
    put(list.children[2 * i], name);
    put(list.children[2 * i + 1], text);
  });
}
