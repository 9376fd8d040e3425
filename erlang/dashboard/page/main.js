// Shows what the address says, and begins to ask the node.

// `before': the view that was shown; null at the start.
function show_view(before) {
  const is_process = view.process !== '';
  document.title = is_process ? `${view.process} · hb_process_monitor` : 'hb_process_monitor';
  $('overview').hidden = is_process;
  $('process').hidden = !is_process;
  show_controls();
  if (is_process) {
    if (before === null || before.process !== view.process) { scrollTo(0, 0); open_process(); }
    return;
  }
  clearTimeout(process_timer);
  draw_charts();
  // Back from a process: the focus is where it was.
  if (before !== null && before.process !== '') {
    const row = [...$('rows').children].find(({ dataset }) => dataset.process === before.process);
    (row?.querySelector('a') ?? $('monitors-title').closest('form').querySelector('input')).focus();
  }
  show_rows();
}

function refresh() { if (view.process === '') show_rows(); else show_process(); }

document.addEventListener('visibilitychange', () => { if (!document.hidden) { refresh(); draw_charts(); } });
addEventListener('resize', draw_charts);

show_view(null);
watch();
