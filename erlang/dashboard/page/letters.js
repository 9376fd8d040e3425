// The dead letters of the process that is shown: pushed again, one or all, or discarded.
let last_letter = null, letters_asked = 0;

async function show_letters(process, after) {
  const mine = ++letters_asked;
  $('more-letters').hidden = true;
  try {
    const answer = await ask(`monitors/${process}/dead-letters` + (after === 0 ? '' : '?after=' + after));
    if (view.process !== process || mine !== letters_asked) return;
    if (after === 0) $('letters').replaceChildren();
    past.letters = after === 0 ? answer.letters : [...past.letters, ...answer.letters];
    say_letters(answer.count);
    $('letters').append(...answer.letters.map((letter) => letter_item(process, letter)));
    last_letter = answer.next;
    $('more-letters').hidden = answer.next === null;
  } catch (error) { if (view.process === process) say($('letters-note'), why(error), true); }
}

function say_letters(count) {
  $('letters').dataset.count = count;
  put($('letters-title'), count === 0 ? 'No dead letters' : `Dead letters: ${count_text(count)}`);
  $('retry-all').hidden = count < 2;
}

function letter_item(process, letter) {
  const again = el('button', { type: 'button' }, 'Retry'), drop = el('button', { type: 'button' }, 'Discard…');
  const outcome = el('span', { role: 'status' });
  const item = el('li', { tabIndex: -1 },
    el('p', {}, el('strong', {}, `Number ${letter.id}`), `, given up ${clock(letter.at)} after ${letter.attempts === 1 ? '1 try' : letter.attempts + ' tries'}`),
    el('p', { className: 'soft' }, 'Error'), el('pre', { tabIndex: 0, role: 'region', 'aria-label': `Error of number ${letter.id}` }, letter.error),
    el('p', { className: 'soft' }, `Result, ${bytes(letter.bytes)}, cursor `, el('code', {}, letter.cursor)),
    el('pre', { tabIndex: 0, role: 'region', 'aria-label': `Result of number ${letter.id}` }, letter.result),
    el('div', { className: 'actions' }, again, drop, outcome));
  const have = async (what) => {
    again.disabled = drop.disabled = true;
    say(outcome, what === 'redeliver' ? 'pushing …' : '');
    const outcome_of = await have_letter(process, letter.id, what);
    if (outcome_of.gone) {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      remove_letter(item, letter.id);
      toast(`Number ${letter.id} is ${what === 'discard' ? 'discarded' : 'pushed'}.`);
      (next ?? $('letters-title').closest('section').querySelector('button:not([hidden])') ?? $('process-title')).focus();
    } else say(outcome, outcome_of.text, outcome_of.bad);
    again.disabled = drop.disabled = false;
  };
  again.onclick = () => have('redeliver');
  drop.onclick = async () => {
    const text = `Number ${letter.id} of ${process}\nThe result is deleted without having been pushed. That cannot be taken back.`;
    if (await confirmed('Discard this dead letter?', text, 'Discard for good')) have('discard');
  };
  item.dataset.id = letter.id;
  return item;
}

async function have_letter(process, id, what) {
  try {
    const { done } = await ask(`monitors/${process}/dead-letters/${id}/${what}`, 'POST');
    return { gone: done, text: done ? '' : 'The monitor is busy and will push it later.', bad: false };
  } catch (error) { return { gone: error.status === 404 && what === 'redeliver' && error.message.includes('dead letter'), text: why(error), bad: true }; }
}

function remove_letter(item, id) {
  item?.remove();
  past.letters = past.letters.filter((letter) => letter.id !== id);
  say_letters(Math.max(0, Number($('letters').dataset.count) - 1));
}

// One after the other, the oldest first. It ends at the first that fails, since the others often fail in the same way.
async function retry_all() {
  const process = view.process, all = Number($('letters').dataset.count);
  const text = `${process}\nThe ${plural(all, 'dead letter')} are pushed one after the other, the oldest first, until one of them fails again. What was pushed is not a dead letter any more.`;
  if (!await confirmed('Retry all dead letters?', text, 'Retry all')) return;
  $('retry-all').disabled = true;
  let pushed = 0, failed = '';
  try {
    for (let after = 0; failed === '' && after !== null && view.process === process;) {
      const answer = await ask(`monitors/${process}/dead-letters` + (after === 0 ? '' : '?after=' + after));
      for (const { id } of answer.letters) {
        const outcome = await have_letter(process, id, 'redeliver');
        if (!outcome.gone) { failed = `Number ${id}: ${outcome.text}`; break; }
        pushed += 1;
        if (view.process !== process) break;
        remove_letter($('letters').querySelector(`[data-id='${id}']`), id);
        say($('letters-note'), `${count_text(pushed)} of ${count_text(all)} are pushed …`);
      }
      after = answer.next;
    }
  } catch (error) { failed = why(error); }
  $('retry-all').disabled = false;
  if (view.process !== process) return;
  say($('letters-note'), `${plural(pushed, 'dead letter')} pushed. ${failed}`, failed !== '');
  show_letters(process, 0);
}

// A letter is being pushed or discarded.
const letters_busy = () => $('retry-all').disabled || $('letters').querySelector('button:disabled') !== null;

$('retry-all').onclick = retry_all;
$('more-letters').onclick = () => show_letters(view.process, last_letter);
