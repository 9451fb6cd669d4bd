// Fetches the page's main part every few seconds, and says so when it cannot: a page that stands still must not look alive.
(() => {
  const EVERY_MS = 5000, WAIT_MS = 10000;
  const board = document.getElementById("board");
  const lost = document.getElementById("lost");
  const said = document.getElementById("said");
  let updatedAt = Date.now(), why = "", timer = 0, busy = false;

  const shown = () => document.getElementById("snapshot")?.dataset ?? {};

  // Said aloud once, when it changes: a region that repeats itself is never silent.
  const say = (words) => { if (said.textContent !== words) said.textContent = words; };

  const tell = () => {
    const age = Math.round((Date.now() - updatedAt) / 1000);
    lost.hidden = !why && age < 30;
    if (lost.hidden) return;
    const cause = why || "this page was asleep";
    lost.textContent = `Not updating: ${cause}. Shown is ${shown().second} UTC, ${age} s ago.`;
    document.title = "NOT UPDATING · Tillwatch";
    say(`Not updating: ${cause}.`);
  };

  // What somebody has marked to copy stays until it is let go.
  const isMarked = () => {
    const selection = getSelection();
    return selection && !selection.isCollapsed && board.contains(selection.anchorNode);
  };

  const replace = (html) => {
    const part = document.createElement("template");
    part.innerHTML = html;
    if (!part.content.getElementById("snapshot")) throw new Error("something else answered, perhaps a login page");
    const before = shown().state, focused = document.activeElement && document.activeElement.id;
    board.replaceChildren(part.content);
    if (shown().state !== before || why) say(shown().state);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (busy) return;
    busy = true;
    clearTimeout(timer);
    try {
      if (isMarked()) {
        why = Date.now() - updatedAt < 30000 ? "" : "text on it is marked";
        return;
      }
      const answer = await fetch("board/fragment" + location.search, { cache: "no-store", signal: AbortSignal.timeout(WAIT_MS) });
      if (!answer.ok) throw new Error(`Tillwatch answered ${answer.status}`);
      replace(await answer.text());
      updatedAt = Date.now();
      why = "";
      document.title = shown().title;
    } catch (error) {
      why = error instanceof TypeError ? "Tillwatch cannot be reached" : error.name === "TimeoutError" ? "Tillwatch does not answer" : error.message;
    } finally {
      busy = false;
      timer = setTimeout(refresh, EVERY_MS);
      tell();
    }
  };

  setInterval(tell, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  timer = setTimeout(refresh, EVERY_MS);
})();
