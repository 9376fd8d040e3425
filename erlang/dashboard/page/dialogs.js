// Questions before an action, notes after it with a button that takes it back, and the self-check of the node.

// Resolves to whether the action is wanted. The focus begins at Cancel, and returns to where it was.
function confirmed(title, text, label) {
  put($('confirm-title'), title);
  put($('confirm-text'), text);
  put($('confirm-yes'), label);
  return new Promise((resolve) => {
    const answer = (wanted) => { $('confirm').close(); resolve(wanted); };
    $('confirm-yes').onclick = () => answer(true);
    $('confirm-no').onclick = () => answer(false);
    // By the key Escape. Not `close', which comes late: that of the last question would answer this one.
    $('confirm').oncancel = () => resolve(false);
    $('confirm').showModal();
    $('confirm-no').focus();
  });
}

const TOAST_MS = 12000;

// A note that goes by itself, later while it is pointed at or has the focus. It replaces that of an earlier action on the
// same process. `undo': a label and an action.
function toast(text, { process = '', undo = null, bad = false } = {}) {
  const node = el('div', { className: bad ? 'toast bad' : 'toast' }, el('span', {}, text, process === '' ? '' : el('code', { title: process }, process)));
  node.dataset.of = process;
  [...$('toasts').children].filter(({ dataset }) => process !== '' && dataset.of === process).forEach((old) => old.remove());
  let timer = 0;
  const end = () => { clearTimeout(timer); node.remove(); };
  const later = () => { clearTimeout(timer); timer = setTimeout(end, TOAST_MS); };
  if (undo !== null) {
    const button = el('button', { type: 'button', className: 'undo', 'aria-keyshortcuts': 'u' }, undo.label);
    button.onclick = () => { end(); undo.act(); };
    node.append(button);
  }
  node.append(el('button', { type: 'button', className: 'close', 'aria-label': 'Close this note', onclick: end }, '×'));
  node.onmouseenter = () => clearTimeout(timer);
  node.addEventListener('focusin', () => clearTimeout(timer));
  node.onmouseleave = later;
  node.addEventListener('focusout', later);
  while ($('toasts').children.length >= 3) $('toasts').firstChild.remove();
  $('toasts').append(node);
  later();
}

function undo_last() {
  const buttons = $('toasts').querySelectorAll('button.undo');
  if (buttons.length > 0) buttons[buttons.length - 1].click();
}

const LEVELS = { wrong: 'Wrong', attention: 'Attention', ok: 'Fine' };

function finding(level, what, advice) {
  return el('li', { className: level }, el('strong', {}, LEVELS[level]), ' ', what, el('br'), el('span', { className: 'soft' }, advice));
}

async function self_check() {
  say($('findings-note'), 'The node examines itself …');
  $('findings-list').replaceChildren();
  $('findings').showModal();
  try {
    const { findings } = await ask('findings');
    say($('findings-note'), findings.length === 0 ? 'Nothing is wrong.' : plural(findings.length, 'finding') + '. The Compute Unit was not asked; doctor/0 does that.');
    $('findings-list').replaceChildren(...findings.map(({ level, what, advice }) => finding(level, what, advice)));
  } catch (error) { say($('findings-note'), why(error), true); }
}

$('check').onclick = self_check;
$('findings-close').onclick = () => $('findings').close();
