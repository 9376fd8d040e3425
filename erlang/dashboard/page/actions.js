// What the dashboard does to processes. An action that interrupts is confirmed first; one that can be taken back says how
// to, for some seconds. Each ends with what was shown being read again.
const ACTIONS = {
  pause: { done: 'Paused', undo: 'resume' },
  resume: { done: 'Resumed', undo: 'pause' },
  poll: { done: 'The Compute Unit is asked now' },
  stop: {
    title: 'Stop this monitor?', label: 'Stop',
    text: 'It finishes the push under way and pushes nothing more. The node does not resume it after a restart. Its cursor and dead letters are kept, so it can be started again where it stopped.',
    done: 'Stopped', waiting: 'Stopping, once the push under way ends', undo: 'start'
  },
  start: { done: 'Started again', undo: 'stop', undo_asks: true },
  forget: {
    title: 'Forget this process?', label: 'Forget for good',
    text: 'Its cursor and its dead letters are deleted, and cannot be brought back. The next start begins after the newest result that the Compute Unit has.',
    done: 'Forgotten'
  }
};
const LABELS = { pause: 'Pause', resume: 'Resume', poll: 'Ask now', stop: 'Stop…', start: 'Start again', forget: 'Forget…' };
const UNDO_LABELS = { pause: 'Pause again', resume: 'Resume', start: 'Start again', stop: 'Stop…' };

// `sure': without a question. Returns whether it was done.
async function act(what, process, sure = false) {
  const { title, text, label, done, waiting, undo } = ACTIONS[what];
  if (title !== undefined && !sure && !await confirmed(title, `${process}\n${text}`, label)) return false;
  try {
    const answer = await ask(`monitors/${process}/${what}`, 'POST');
    const note = answer.done || waiting === undefined ? done : waiting;
    toast(note, { process, undo: undo === undefined ? null : { label: UNDO_LABELS[undo], act: () => act(undo, process) } });
    return true;
  } catch (error) {
    toast(why(error), { process, bad: true });
    return false;
  } finally { refresh(); }
}

// A button of an action. Its label changes with `set_action'.
function action_button(process) {
  const button = el('button', { type: 'button' });
  let busy = false;
  button.onclick = async () => {
    // Not disabled, since that would take the focus.
    if (busy) return;
    busy = true;
    await act(button.dataset.what, process());
    busy = false;
  };
  return button;
}

function set_action(button, what, process, with_id = true) {
  button.dataset.what = what;
  put(button, LABELS[what]);
  attribute(button, 'aria-label', with_id ? `${LABELS[what].replace('…', '')} ${process}` : null);
}

const pausing = (state) => state === 'paused' || state === 'pausing' ? 'resume' : 'pause';
