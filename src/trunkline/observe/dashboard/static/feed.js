// The connection to the program. It reconnects with growing pauses, as trunkline's managed connections do.

const PROTOCOL = "trunkline.dashboard.v1";
const FIRST_PAUSE = 0.5; // seconds
const LONGEST_PAUSE = 10;

/** Returns the token from the URL's fragment. It is kept for this tab, for a reload, and removed from the address bar. */
function token() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem("trunkline.token", given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem("trunkline.token") || "";
}

export class Feed {
  /** Calls take(message) for each message and tell(state, text) when the state changes to live, lost or refused. */
  constructor(take, tell) {
    this.take = take;
    this.tell = tell;
    this.failures = 0;
    this.opened = false;
    window.addEventListener("hashchange", () => this.restart()); // the user has pasted a URL with another token
  }

  restart() {
    if (!location.hash) return;
    if (this.socket) this.socket.onclose = null;
    if (this.socket) this.socket.close();
    clearTimeout(this.timer);
    this.opened = false;
    this.open();
  }

  open() {
    const known = token();
    if (!known) {
      this.tell("refused", "This URL has no token. Open the URL that the program printed.");
      return;
    }
    const address = new URL("feed", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    address.search = "";
    // The token is sent as a subprotocol: unlike a query, that does not appear in logs.
    this.socket = new WebSocket(address, [PROTOCOL, "token." + known]);
    this.socket.onopen = () => {
      this.opened = true;
      this.failures = 0;
      this.tell("live", "live");
    };
    this.socket.onmessage = (event) => this.take(JSON.parse(event.data));
    this.socket.onclose = (event) => this.closed(event);
  }

  closed(event) {
    this.failures += 1;
    const pause = (0.5 + Math.random() / 2) * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.failures);
    if (this.opened) {
      const reason = event.reason ? ` (${event.reason})` : "";
      this.tell("lost", `The connection to the program is lost${reason}. Trying again; until then this page does not change.`);
    } else {
      this.tell("refused", "Refused: the token is wrong, there are too many viewers, or the program is not running. Open the URL that it printed.");
    }
    this.timer = setTimeout(() => this.open(), pause * 1000);
  }

  send(message) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
