// What the chat asks of the server: a session, posts that are repeated until they arrive, and the stream of events.

const SILENCE = 40_000; // ms without a sign of life (the server gives one every 15 s)
const LONGEST_WAIT = 30_000;
const ATTEMPTS = 5;

export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, "0")).join("");

/** The browser's storage; where that is forbidden, memory. */
export const storage = {
  memory: {},
  get(name) {
    try { return localStorage.getItem(`rejoinder.${name}`); } catch { return this.memory[name] ?? null; }
  },
  set(name, value) {
    this.memory[name] = value;
    try {
      if (value === null) localStorage.removeItem(`rejoinder.${name}`);
      else localStorage.setItem(`rejoinder.${name}`, value);
    } catch { /* memory holds it */ }
  },
};

/** The server refused: repeating it would change nothing. */
export class Refusal extends Error {
  constructor(status) {
    super(`the server answered ${status}`);
    this.status = status;
  }
}

export class Api {
  /** `on` has: event(name, data), state("connecting" | "online" | "offline"), renewed() where the old conversation is gone. */
  constructor(base, on) {
    this.base = base;
    this.on = on;
    this.token = storage.get("token");
    this.last = null; // the id of the last message received
    this.turned = 0; // counts conversations: what belongs to an older one ends
    this.attempts = 0;
    this.wake = () => {};
    for (const name of ["online", "pageshow"]) addEventListener(name, () => this.wake());
  }

  /** Begin, or go on with, the conversation; never returns before `stop`. */
  async run() {
    const turn = ++this.turned;
    while (turn === this.turned) {
      try {
        await this.admitted();
        await this.follow(turn);
        this.attempts = 0;
      } catch (error) {
        if (error instanceof Refusal && [401, 403].includes(error.status)) await this.renew();
        this.attempts += 1;
      }
      if (turn !== this.turned) return;
      this.on.state("offline");
      const pause = Math.min(LONGEST_WAIT, 500 * 2 ** this.attempts) * (0.75 + Math.random() / 2);
      await Promise.race([wait(pause), new Promise((resolve) => { this.wake = resolve; })]);
    }
  }

  /** Leave the conversation for a new one. */
  async restart() {
    this.turned += 1;
    this.controller?.abort();
    this.forget();
    this.run();
  }

  /** Post, until it has arrived: ids make a repetition harmless. */
  async post(path, body) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        await this.admitted();
        return await this.call(path, { method: "POST", body: JSON.stringify(body) });
      } catch (error) {
        const passing = !(error instanceof Refusal) || error.status === 429 || error.status >= 500;
        if (!passing || attempt + 1 >= ATTEMPTS) throw error;
        await wait(error.after ?? Math.min(LONGEST_WAIT, 600 * 2 ** attempt));
      }
    }
  }

  async admitted() {
    if (this.fresh) return;
    this.admission ??= (async () => {
      const answer = await this.call("session", { method: "POST", body: "{}" });
      this.token = (await answer.json()).token;
      storage.set("token", this.token);
      this.fresh = true;
    })().finally(() => { this.admission = null; });
    await this.admission;
  }

  async renew() {
    if (!this.token) return;
    this.forget();
    this.on.renewed();
  }

  forget() {
    this.token = this.last = null;
    this.fresh = false;
    storage.set("token", null);
  }

  async call(path, options = {}) {
    const headers = { ...options.headers };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (options.body) headers["Content-Type"] = "application/json";
    const answer = await fetch(this.base + path, { ...options, headers, cache: "no-store", credentials: "omit" });
    if (!answer.ok) {
      const refusal = new Refusal(answer.status);
      const after = Number(answer.headers.get("Retry-After"));
      if (after > 0) refusal.after = Math.min(after * 1000, LONGEST_WAIT);
      throw refusal;
    }
    return answer;
  }

  async follow(turn) {
    const controller = this.controller = new AbortController();
    let alive = setTimeout(() => controller.abort(), SILENCE);
    try {
      const headers = this.last === null ? {} : { "Last-Event-ID": this.last };
      const answer = await this.call("events", { headers, signal: controller.signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let unread = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done || turn !== this.turned) return;
        clearTimeout(alive);
        alive = setTimeout(() => controller.abort(), SILENCE);
        const blocks = (unread + value).split("\n\n");
        unread = blocks.pop();
        blocks.forEach((block) => this.take(block));
      }
    } finally {
      clearTimeout(alive);
      controller.abort();
    }
  }

  take(block) {
    const fields = Object.fromEntries(block.split("\n").filter((line) => !line.startsWith(":")).map((line) => {
      const at = line.indexOf(": ");
      return [line.slice(0, at), line.slice(at + 2)];
    }));
    if (!fields.event) return;
    if (fields.id) this.last = fields.id;
    if (fields.event === "ready") {
      this.attempts = 0;
      this.on.state("online");
    }
    this.on.event(fields.event, JSON.parse(fields.data));
  }
}
