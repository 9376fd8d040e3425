// The page of one process: what its monitor does and why, its time line and its dead letters. It is read again every two
// seconds, and shows what is left of a process that is not monitored.
const FACTS = [
  ['Lag', (i) => or(i.lag, duration), null, 'from the time of the last acked result to its push'],
  ['Cursor age', (i) => or(i.cursor_age, duration), null, 'how long ago the last acked result was made'],
  ['Last push', (i) => or(i.last_result, (at) => ago(i.now - at))],
  ['Next result', (i) => or(i.next_result, (ms) => ms === 0 ? 'due' : in_time(ms)), null, 'when it is expected'],
  ['Next tick', (i) => or(i.next_tick, in_time)],
  ['Unacked', (i) => or(i.unacked, count_text)],
  ['Dead letters', (i) => or(i.dead_letters, count_text), (i) => i.dead_letters > 0]
];
const NOTHING = { lag: null, cursor_age: null, last_result: null, next_result: null, next_tick: null, unacked: null, dead_letters: null };

const WHY = {
  rate: 'the option cron_poll is rate', no_result: 'no result was seen yet',
  untimed: 'a cron runs in blocks, or its cursors do not say when it runs',
  unseen: 'the process has a cron that has not run yet', delay: 'the delay of the Compute Unit is not known yet'
};

function asking({ asks, longest_gap }) {
  if (asks === null) return 'Not known at present.';
  if (asks.how === 'every_tick') return `At every tick, because ${WHY[asks.why]}.`;
  const safety = longest_gap === null ? '' : `, and at least every ${duration(longest_gap)} in any case`;
  if (asks.how === 'rarely') return `By its tags, no cron of the process ever runs${safety}.`;
  return `From when the result of ${clock(asks.result_time)} is expected, of the cron that runs every ${duration(asks.every * 1000)}${safety}.`;
}

const cron = (interval) => typeof interval === 'number' ? 'every ' + duration(interval * 1000) : interval === 'blocks' ? 'in blocks' : 'never';

const ASKING = [
  ['Rate', (i) => or(i.rate, (ms) => 'a tick every ' + duration(ms))],
  ['Next try', (i) => i.next_try === null ? 'no failure to retry' : in_time(i.next_try)],
  ['Requests', (i) => or(i.requests_per_result, (n) => `${n.toFixed(2)} a result`)],
  ['Crons by tags', (i) => i.crons === null ? 'not known' : i.crons.length === 0 ? 'none' : i.crons.map(cron).join(', ')],
  ['Compute Units', (i) => i.nodes.map(({ node, breaker }) => node + (node === i.node ? ', used next' : '') + (breaker === 'closed' ? '' : `, breaker ${words(breaker)}`)).join('; ') || '–']
];
const MORE = [
  ['In memory', (i) => bytes(i.buffered_bytes)],
  ['At push', (i) => i.at_push === null ? 'no' : `for ${duration(i.at_push)}${i.stalled ? ', stalled' : ''}`],
  ['Pushed with', (i) => String(i.push)],
  ['Cursor time', (i) => or(i.cursor_time, (at) => new Date(at).toISOString())],
  ['Cursor', (i) => or(i.cursor, String)],
  ['Erlang process', (i) => i.monitor + (i.supervised ? ', in a supervisor of the host' : '')]
];

add_tiles($('facts'), FACTS);
const action_buttons = [0, 1, 2].map(() => action_button(() => view.process));
$('actions').append(...action_buttons);
let process_timer = 0, process_asked = 0;

function open_process() {
  const process = view.process;
  forget_past(process);
  put($('process-title'), process);
  say($('process-note'), '');
  set_state($('process-state'), 'unknown', ' ');
  show_tiles($('facts'), FACTS, NOTHING);
  for (const id of ['asking-facts', 'more-facts', 'letters']) $(id).replaceChildren();
  put($('asking'), '');
  say($('letters-note'), '');
  say_letters(0);
  show_actions([]);
  show_events(Date.now(), null);
  $('back').setAttribute('href', address_of({ process: '' }));
  $('process-title').focus();
  show_letters(process, 0);
  show_process();
}

async function show_process() {
  clearTimeout(process_timer);
  const process = view.process, mine = ++process_asked;
  if (process === '') return;
  if (!document.hidden) {
    try {
      const answer = await ask(`monitors/${process}/history`);
      if (mine !== process_asked || view.process !== process) return;
      add_events(answer.events);
      if (answer.monitor === null) show_absent(answer); else show_present({ ...answer.monitor, now: answer.now });
      show_events(answer.now, answer.monitor);
    } catch (error) { if (mine === process_asked) say($('process-note'), why(error), true); }
  }
  if (mine === process_asked) process_timer = setTimeout(show_process, POLL_MS);
}

function show_present(info) {
  const letters = info.dead_letters, known = Number($('letters').dataset.count ?? 0);
  set_state($('process-state'), info.state, words(info.state) + (info.stalled ? ', stalled' : ''));
  say($('process-note'), info.error === null ? '' : `Failed: ${error_text(info.error)}`, info.error !== null);
  show_tiles($('facts'), FACTS, info);
  put($('asking'), asking(info));
  show_facts($('asking-facts'), ASKING.map(([name, show]) => [name, show(info)]));
  show_facts($('more-facts'), MORE.map(([name, show]) => [name, show(info)]));
  show_actions(info.state === 'stopping' ? [] : ['poll', pausing(info.state), ...(info.supervised ? [] : ['stop'])]);
  // Others came, and none of the shown ones is in use.
  if (letters !== known && !letters_busy() && !$('letters').contains(document.activeElement)) show_letters(view.process, 0);
}

function show_absent({ can_start, elsewhere }) {
  set_state($('process-state'), elsewhere === null ? 'stopping' : 'idle', elsewhere === null ? 'not monitored' : 'elsewhere');
  say($('process-note'), elsewhere !== null ? `The host node ${elsewhere} monitors the process: its dashboard shows more.`
    : can_start ? 'The dashboard has stopped it, and can start it again after its last ack.' : 'The process is not monitored, or no longer.');
  show_tiles($('facts'), FACTS, NOTHING);
  put($('asking'), 'It is not asked from this host node.');
  $('asking-facts').replaceChildren();
  $('more-facts').replaceChildren();
  show_actions(elsewhere !== null ? ['stop'] : [...(can_start ? ['start'] : []), 'forget']);
}

function show_actions(actions) {
  action_buttons.forEach((button, i) => {
    const what = actions[i];
    button.hidden = what === undefined;
    if (what !== undefined) set_action(button, what, view.process, false);
  });
}

$('back').onclick = (event) => {
  if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go({ process: '' });
};
