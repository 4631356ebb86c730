// The line to the program: it comes back by itself, with growing pauses, as trunkline's own lines do.

const PROTOCOL = "trunkline.dashboard.v1";
const FIRST_PAUSE = 0.5; // seconds
const LONGEST_PAUSE = 10;

/** The token from the address's fragment, kept for this tab, so that a reload finds it and the address bar does not show it. */
function token() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem("trunkline.token", given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem("trunkline.token") || "";
}

export class Feed {
  /** take(message) gets what comes; tell(state, text) what becomes of the line: waiting, live, lost or refused. */
  constructor(take, tell) {
    this.take = take;
    this.tell = tell;
    this.failures = 0;
    this.opened = false;
    window.addEventListener("hashchange", () => this.restart()); // somebody pastes an address with another token
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
      this.tell("refused", "This address has no token. Open the one that the program printed.");
      return;
    }
    const address = new URL("feed", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    address.search = "";
    // The token goes as a subprotocol: unlike a query it stands in nobody's log.
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
      this.tell("lost", `The line to the program is lost${reason}. Trying again; what you see stands still.`);
    } else {
      this.tell("refused", "Not let in: the token is wrong, too many look already, or the program is not there. Open the address that it printed.");
    }
    this.timer = setTimeout(() => this.open(), pause * 1000);
  }

  send(message) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
