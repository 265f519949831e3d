// The parts of the page, as they change. Without a script, the page loads itself again every ten seconds.

const PATIENCE = 5_000; // milliseconds without the relay until that is said
const AGAIN = 30_000; // milliseconds until the page is loaded again where it is not told any more

const offline = document.getElementById("offline");
let waiting;

const answered = () => {
  clearTimeout(waiting);
  waiting = undefined;
  offline.hidden = true;
};

const show = (name, html) => {
  const part = document.getElementById(name);
  const fresh = document.createElement("div");
  fresh.innerHTML = html;
  if (!part || fresh.innerHTML === part.innerHTML) return;
  // Whoever is on a link in there with the keyboard stays on it.
  const link = part.contains(document.activeElement) && document.activeElement.getAttribute("href");
  part.replaceChildren(...fresh.childNodes);
  if (link) part.querySelector(`[href="${CSS.escape(link)}"]`)?.focus({ preventScroll: true });
};

const stream = new EventSource("/live");
stream.onopen = answered;
stream.onmessage = (event) => {
  answered();
  for (const [name, html] of Object.entries(JSON.parse(event.data))) show(name, html);
};
stream.onerror = () => {
  waiting ??= setTimeout(() => (offline.hidden = false), PATIENCE);
  if (stream.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), AGAIN);
};
stream.addEventListener("logout", () => {
  stream.close();
  location.reload();
});
