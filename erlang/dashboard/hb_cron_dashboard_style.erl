%%% @doc The operations page's style sheet, and nothing of what it shows. Colours are said once for light and
%%% once for dark; nothing is told by colour alone.
-module(hb_cron_dashboard_style).

-export([text/0]).

%% @doc The style sheet.
-spec text() -> binary().
text() ->
    <<"
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --card: #ffffff; --ink: #1a1d23; --soft: #5a6270; --line: #d9dde4;
  --accent: #1f5fbf; --second: #b04a00; --good: #1b6e3c; --bad: #b3261e; --wait: #6b4e00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171c; --card: #1d2128; --ink: #e6e9ee; --soft: #a0a9b8; --line: #353b46;
    --accent: #7db1ff; --second: #ffb070; --good: #7fd8a0; --bad: #ff9b93; --wait: #e9c46a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif;
}
header { display: flex; flex-wrap: wrap; gap: 4px 24px; align-items: baseline; padding: 14px 20px 0; }
header p { margin: 0; color: var(--soft); }
header p.bad { color: var(--bad); font-weight: 600; }
h1 { font-size: 18px; margin: 0; }
h1 span { color: var(--soft); font-weight: 400; font-size: 14px; }
h2 { font-size: 15px; margin: 0 0 8px; }
h3 { font-size: 14px; margin: 14px 0 6px; }
main { padding: 14px 20px 32px; display: grid; gap: 18px; grid-template-columns: minmax(0, 1fr); }
#tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); gap: 8px; margin: 0; }
#tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px 10px; }
#tiles dt { color: var(--soft); font-size: 12px; }
#tiles dd { margin: 0; font-size: 20px; font-variant-numeric: tabular-nums; }
#tiles dd.bad { color: var(--bad); font-weight: 600; }
#charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 10px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; }
figcaption { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 13px; font-weight: 600; }
.key { font-weight: 400; color: var(--soft); font-variant-numeric: tabular-nums; }
.key::before {
  content: ''; display: inline-block; width: 18px; margin-right: 5px; vertical-align: middle;
  border-top: 2px solid var(--accent);
}
.key.s1::before { border-top: 2px dashed var(--second); }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 11px; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg path { fill: none; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; stroke: var(--accent); }
svg path.s1 { stroke: var(--second); stroke-dasharray: 5 4; }
form { display: flex; flex-wrap: wrap; gap: 8px 18px; align-items: center; margin-bottom: 8px; }
#shown { color: var(--soft); }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 5px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { color: var(--soft); font-weight: 600; font-size: 12px; }
tbody th { font-weight: 400; }
tbody tr:last-child > * { border-bottom: 0; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
td.error { max-width: 22ch; overflow: hidden; text-overflow: ellipsis; color: var(--bad); }
.backing_off, .unknown, .stopping { color: var(--bad); font-weight: 600; }
.paused, .pausing, .starting, .resolving { color: var(--wait); font-weight: 600; }
.pushing, .polling { color: var(--good); }
code, .id, pre { font-family: ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace; font-size: 12px; }
button, select, input {
  font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 3px 9px;
}
button { cursor: pointer; }
button:hover:enabled { border-color: var(--accent); }
button:disabled { color: var(--soft); cursor: default; opacity: 0.6; }
button.id { border: 0; padding: 0; background: none; color: var(--accent); text-decoration: underline; }
button.sure { border-color: var(--bad); color: var(--bad); font-weight: 600; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
nav { display: flex; gap: 8px; margin-top: 8px; }
dialog {
  width: min(880px, 94vw); max-height: 88vh; overflow: auto; color: var(--ink); background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; padding: 14px 18px;
}
dialog::backdrop { background: rgb(0 0 0 / 45%); }
.head { display: flex; justify-content: space-between; gap: 12px; align-items: start; }
.head h2 { overflow-wrap: anywhere; }
#detail-info { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 14px; margin: 6px 0; }
#detail-info dt { color: var(--soft); }
#detail-info dd { margin: 0; overflow-wrap: anywhere; }
#detail-status.bad { color: var(--bad); }
#letters { padding: 0; margin: 0; list-style: none; display: grid; gap: 10px; }
#letters li { border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; }
#letters p { margin: 0 0 4px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 180px; overflow: auto; margin: 4px 0 8px; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
"/utf8>>.
