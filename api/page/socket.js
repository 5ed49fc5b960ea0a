// A client of the protocol graphql-transport-ws that connects again, later each time, and asks for its subscriptions anew.

const LONGEST_PAUSE_MS = 15_000;
const PING_EVERY_MS = 20_000;

export class Live {
  /**
   * @param subscriptions gives, at each connection, a list of {query, variables, next}: what to go on with and who takes each frame's data.
   * @param status takes "connecting", "live" or "lost".
   */
  constructor(url, subscriptions, status) {
    Object.assign(this, { url, subscriptions, status, failures: 0 });
  }

  open() {
    this.status(this.failures === 0 ? "connecting" : "lost");
    const socket = new WebSocket(this.url, "graphql-transport-ws");
    let alive;
    let answered = true;
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "connection_init" }));
      alive = setInterval(() => {
        if (!answered) return socket.close();
        answered = false;
        socket.send(JSON.stringify({ type: "ping" }));
      }, PING_EVERY_MS);
    };
    let running = [];
    socket.onmessage = ({ data }) => {
      answered = true;
      const message = JSON.parse(data);
      if (message.type === "connection_ack") {
        this.failures = 0;
        this.status("live");
        running = this.subscriptions();
        running.forEach(({ query, variables }, index) =>
          socket.send(JSON.stringify({ type: "subscribe", id: String(index), payload: { query, variables } })));
      } else if (message.type === "next" && message.payload.data) {
        running[Number(message.id)].next(message.payload.data);
      } else if (["next", "error", "complete"].includes(message.type)) {
        socket.close();
      } else if (message.type === "ping") {
        socket.send(JSON.stringify({ type: "pong" }));
      }
    };
    socket.onclose = () => {
      clearInterval(alive);
      this.status("lost");
      const pause = Math.min(LONGEST_PAUSE_MS, 500 * 2 ** this.failures++);
      setTimeout(() => this.open(), pause * (0.5 + Math.random() / 2));
    };
  }
}
