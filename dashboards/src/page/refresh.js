// Fetches the page's main part every few seconds, and says so when it cannot: a page that stands still must not look alive.
(() => {
  const EVERY_MS = 5000, WAIT_MS = 10000;
  const board = document.getElementById("board");
  const lost = document.getElementById("lost");
  const said = document.getElementById("said");
  let updatedAt = Date.now(), why = "", timer = 0, busy = false;

  const shown = () => document.getElementById("snapshot").dataset;

  const tell = () => {
    const age = Math.round((Date.now() - updatedAt) / 1000);
    lost.hidden = !why && age < 30;
    if (lost.hidden) return;
    const cause = why || "this page was asleep";
    lost.textContent = `Not updating: ${cause}. Shown is ${shown().second} UTC, ${age} s ago.`;
    document.title = "NOT UPDATING · Tillwatch";
  };

  const refresh = async () => {
    if (busy) return;
    busy = true;
    clearTimeout(timer);
    try {
      const answer = await fetch("board/fragment" + location.search, { cache: "no-store", signal: AbortSignal.timeout(WAIT_MS) });
      if (!answer.ok) throw new Error(`Tillwatch answered ${answer.status}`);
      const html = await answer.text();
      const before = shown().state, focused = document.activeElement && document.activeElement.id;
      board.innerHTML = html;
      updatedAt = Date.now();
      why = "";
      document.title = shown().title;
      if (shown().state !== before) said.textContent = shown().state;
      if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
    } catch (error) {
      why = error instanceof TypeError ? "Tillwatch cannot be reached" : error.name === "TimeoutError" ? "Tillwatch does not answer" : error.message;
    }
    busy = false;
    tell();
    timer = setTimeout(refresh, EVERY_MS);
  };

  setInterval(tell, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  timer = setTimeout(refresh, EVERY_MS);
})();
