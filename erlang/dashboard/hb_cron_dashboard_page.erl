%%% @doc The operations page's HTML, and the policy that lets a browser run the style and the script that it
%%% holds and nothing else. A module, so that the page is wherever the others are: copied into a host's
%%% directory, or into its sources. It holds no data, and is the same for everybody.
%%%
%%% The texts of this module and of the three it is made of have no `"' and no `\', for which an Erlang
%%% string has a meaning of its own: what is there is what the browser gets.
-module(hb_cron_dashboard_page).

-export([html/0]).

%% @doc The page, and its Content-Security-Policy.
-spec html() -> {Html :: iodata(), Policy :: string()}.
html() ->
    Style = hb_cron_dashboard_style:text(),
    Script = iolist_to_binary([hb_cron_dashboard_charts:text(), hb_cron_dashboard_script:text()]),
    Html = [<<"<!doctype html><html lang='en'><head><meta charset='utf-8'>"
              "<meta name='viewport' content='width=device-width, initial-scale=1'>"
              "<meta name='color-scheme' content='light dark'><link rel='icon' href='data:,'>"
              "<title>hb_process_monitor</title><style>">>, Style, <<"</style></head>">>, body(),
            <<"<script>">>, Script, <<"</script></html>">>],
    {Html, policy(Style, Script)}.

policy(Style, Script) ->
    lists:append(["default-src 'none'; connect-src 'self'; img-src data:; style-src ", hash(Style),
                  "; script-src ", hash(Script),
                  "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"]).

hash(Text) -> "'sha256-" ++ binary_to_list(base64:encode(crypto:hash(sha256, Text))) ++ "'".

body() ->
    <<"
<body>
<header>
  <h1>hb_process_monitor <span id='node'></span></h1>
  <p id='status' role='status'>connecting</p>
</header>
<main>
  <section aria-labelledby='now-title'>
    <h2 id='now-title'>Now</h2>
    <dl id='tiles'></dl>
  </section>
  <section aria-labelledby='charts-title'>
    <h2 id='charts-title'>The last minutes</h2>
    <div id='charts'></div>
  </section>
  <section aria-labelledby='monitors-title'>
    <h2 id='monitors-title'>Monitors</h2>
    <form id='filter'>
      <label>State <select id='state'><option value=''>any</option></select></label>
      <label>Process begins with <input id='prefix' type='search' maxlength='43' size='24' autocomplete='off' spellcheck='false'></label>
      <span id='shown' role='status'></span>
    </form>
    <div class='wide' tabindex='0' role='region' aria-labelledby='monitors-title'>
      <table>
        <caption class='unseen'>Monitors in the order of their processes, a page at a time</caption>
        <thead><tr>
          <th scope='col'>Process</th><th scope='col'>State</th>
          <th scope='col' class='n' title='how long ago the last result acked was made'>Cursor&#8217;s age</th>
          <th scope='col' class='n' title='from when that result was made to its push'>Lag</th>
          <th scope='col' class='n' title='when a result was last pushed'>Last result</th>
          <th scope='col'>Error</th>
          <th scope='col' class='n'>Next tick</th>
          <th scope='col' class='n'>Dead letters</th>
          <th scope='col'><span class='unseen'>Change</span></th>
        </tr></thead>
        <tbody id='rows'></tbody>
      </table>
    </div>
    <nav aria-label='Pages of monitors'>
      <button id='previous' type='button' disabled>Previous page</button>
      <button id='next' type='button' disabled>Next page</button>
    </nav>
  </section>
</main>
<dialog id='detail' aria-labelledby='detail-title'>
  <div class='head'><h2 id='detail-title'></h2><button id='close' type='button'>Close</button></div>
  <p id='detail-status' role='status'></p>
  <dl id='detail-info'></dl>
  <h3 id='letters-title'>Dead letters</h3>
  <ol id='letters' aria-labelledby='letters-title'></ol>
  <button id='more-letters' type='button' hidden>More</button>
</dialog>
<noscript><p>This page needs JavaScript.</p></noscript>
</body>
">>.
