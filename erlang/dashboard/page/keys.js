// Shortcuts of the keyboard. Everything can also be reached by Tab. Those of a single key can be turned off, since speech
// input and slips of the hand would press them.
const SHORTCUTS = [
  ['/', 'find a monitor', () => { if (view.process !== '') go({ process: '' }); $('find').focus(); }],
  ['j', 'next row', () => step(1)],
  ['k', 'previous row', () => step(-1)],
  ['[', 'previous page', () => $('previous').click()],
  [']', 'next page', () => $('next').click()],
  ['p', 'pause or resume the row with the focus, or the shown process', pause_this],
  ['u', 'take the last action back, while that is offered', undo_last],
  ['?', 'these shortcuts', () => $('shortcuts').showModal()]
];
const OTHERS = [['Enter', 'open the row with the focus'], ['Esc', 'back to all monitors; in the field, clear it']];

const stored = (() => { try { return localStorage.getItem('shortcuts'); } catch { return null; } })();
$('shortcuts-on').checked = stored !== 'off';
$('shortcuts-on').onchange = () => {
  try { localStorage.setItem('shortcuts', $('shortcuts-on').checked ? 'on' : 'off'); } catch { /* Only for this page. */ }
};
$('shortcut-list').append(...[...SHORTCUTS, ...OTHERS].flatMap(([key, what]) => [el('dt', {}, el('kbd', {}, key)), el('dd', {}, what)]));
$('help').onclick = () => $('shortcuts').showModal();
$('shortcuts-close').onclick = () => $('shortcuts').close();

function step(by) {
  if (view.process !== '') return;
  const links = [...$('rows').querySelectorAll('a.id')], at = links.findIndex((link) => link.closest('tr').contains(document.activeElement));
  links[at === -1 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
}

function pause_this() {
  const row = view.process === '' ? document.activeElement.closest('#rows tr') : $('actions');
  [...(row?.querySelectorAll('button[data-what]') ?? [])].find(({ dataset, hidden }) => !hidden && ['pause', 'resume'].includes(dataset.what))?.click();
}

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]') !== null) return;
  const writing = event.target.matches('input, select, textarea');
  if (event.key === 'Escape') {
    if (event.target === $('find')) { if (view.find !== '') go({ find: '' }, 'replace'); else $('find').blur(); }
    else if (view.process !== '' && !writing) go({ process: '' });
    return;
  }
  const shortcut = SHORTCUTS.find(([key]) => key === event.key);
  if (shortcut === undefined || writing || !$('shortcuts-on').checked) return;
  event.preventDefault();
  shortcut[2]();
});
