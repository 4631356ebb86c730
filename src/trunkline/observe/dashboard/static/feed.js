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
  /** take(message) gets what comes; tell(state, text) what becomes of the line. */
  constructor(take, tell) {
    this.take = take;
    this.tell = tell;
    this.token = token();
    this.failures = 0;
    this.opened = false;
  }

  open() {
    const address = new URL("feed", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    address.search = "";
    // The token goes as a subprotocol: unlike a query it stands in nobody's log.
    this.socket = new WebSocket(address, this.token ? [PROTOCOL, "token." + this.token] : [PROTOCOL]);
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
    const pause = Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.failures);
    const reason = event.reason || (this.opened ? "the line is gone" : "not let in: open the address that the program printed");
    this.tell(this.opened ? "lost" : "refused", reason);
    setTimeout(() => this.open(), pause * 1000);
  }

  send(message) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
