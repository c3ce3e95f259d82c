// One event stream for the page: all sessions' events from now on. A browser allows six connections to a server, so a page
// that is not seen lets its own go and catches up when it is seen again.

const KINDS = ["session", "edit", "undo", "revert", "check", "test-started", "test-finished", "submission", "step", "val"];
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

  open() {
    if (this.source || document.hidden) return;
    clearTimeout(this.timer);
    this.onState("connecting");
    this.source = new EventSource(`/v1/events?last_event_id=${encodeURIComponent(this.last)}`);
    this.source.onopen = () => {
      this.failures = 0;
      this.onState("live");
      if (this.wasOpen) this.onGap();  // what has no id (step, val) is not replayed
      this.wasOpen = true;
    };
    this.source.onerror = () => {
      // The browser tries again by itself unless the server refused.
      this.onState("connecting");
      if (this.source?.readyState !== EventSource.CLOSED) return;
      this.source = null;
      this.timer = setTimeout(() => this.open(), WAIT_MS[Math.min(this.failures++, WAIT_MS.length - 1)]);
    };
    for (const kind of KINDS)
      this.source.addEventListener(kind, (event) => {
        if (event.lastEventId) this.last = event.lastEventId;
        this.onEvent(kind, JSON.parse(event.data));
      });
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
    this.onState("paused");
  }
}
