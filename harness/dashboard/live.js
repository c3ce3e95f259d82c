// One event stream for the page: all sessions' events from now on. A browser allows six connections to a server, so a page
// that is not seen lets its own go and catches up when it is seen again.
import {send} from "./api.js";
import {EventParser, readEvents} from "./events.js";

const WAIT_MS = [1000, 2000, 5000, 10000];

export class Live {
  // onEvent(kind, data); onState("live" | "connecting" | "paused"); onGap(): events may have been missed, load again.
  constructor({onEvent, onState, onGap}) {
    Object.assign(this, {onEvent, onState, onGap});
    this.last = "now";
    this.failures = 0;
    this.wasOpen = false;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    this.open();
  }

  async open() {
    if (this.abort || document.hidden) return;
    clearTimeout(this.timer);
    this.onState("connecting");
    const abort = this.abort = new AbortController();
    try {
      const response = await send(`/v1/events?last_event_id=${encodeURIComponent(this.last)}`, {signal: abort.signal});
      if (response.status === 401) return;  // the page asks for a token, and then again()
      if (response.ok) {
        this.failures = 0;
        this.onState("live");
        if (this.wasOpen) this.onGap();  // what has no id (step, val) is not replayed
        this.wasOpen = true;
        await readEvents(response, new EventParser((kind, data, id) => {
          if (id) this.last = id;
          this.onEvent(kind, JSON.parse(data));
        }));
      }
    } catch { /* it was cut, here or there */ }
    if (this.abort !== abort) return;  // closed, or opened anew meanwhile
    this.abort = null;
    this.onState("connecting");
    this.timer = setTimeout(() => this.open(), WAIT_MS[Math.min(this.failures++, WAIT_MS.length - 1)]);
  }

  close() {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.abort = null;
    this.onState("paused");
  }

  // With another token.
  again() {
    this.close();
    this.failures = 0;
    this.open();
  }
}
