// SPDX-License-Identifier: Apache-2.0
// Live events over a WebSocket that comes back by itself and goes on after the last event it saw.
import { type Query, queryString } from "./client";
import type { Event, StreamMessage } from "./types";

export type StreamState = "connecting" | "open" | "lost" | "closed";

export interface StreamHandlers {
  event: (event: Event) => void;
  /** Events that the server could not deliver to this page; 0 when nobody knows how many. */
  lost: (count: number, reason: string) => void;
  state: (state: StreamState, retryInMs?: number) => void;
}

/** The server pings more often than this; silence means that the connection is dead without saying so. */
const SILENCE_MS = 45_000;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 15_000;

export class EventStream {
  private socket: WebSocket | undefined;
  private lastId: string | undefined;
  private retryMs = RETRY_MIN_MS;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private silenceTimer: ReturnType<typeof setTimeout> | undefined;
  private stopped = false;

  constructor(
    private query: Query,
    private readonly handlers: StreamHandlers,
  ) {}

  /** Begins with what comes after `resume`, or with what comes from now on. */
  start(resume?: string): void {
    this.lastId = resume;
    this.stopped = false;
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    this.drop();
    this.handlers.state("closed");
  }

  /** Tries again at once instead of waiting. */
  retryNow(): void {
    if (!this.stopped && this.socket?.readyState !== WebSocket.OPEN) {
      this.drop();
      this.connect();
    }
  }

  private drop(): void {
    clearTimeout(this.retryTimer);
    clearTimeout(this.silenceTimer);
    const socket = this.socket;
    this.socket = undefined;
    socket?.close();
  }

  private connect(): void {
    this.handlers.state("connecting");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const query = queryString({ ...this.query, resume: this.lastId });
    const socket = new WebSocket(`${scheme}//${location.host}/api/v1/events/stream${query}`);
    this.socket = socket;
    socket.onopen = () => {
      if (socket !== this.socket) return;
      this.retryMs = RETRY_MIN_MS;
      this.handlers.state("open");
      this.heard();
    };
    socket.onmessage = (message) => {
      if (socket === this.socket) this.receive(message.data);
    };
    // An error is always followed by a close.
    socket.onclose = () => {
      if (socket === this.socket) this.retryLater();
    };
  }

  private receive(data: unknown): void {
    this.heard();
    let message: StreamMessage;
    try {
      message = JSON.parse(String(data));
    } catch {
      this.handlers.lost(1, "a message that could not be read");
      return;
    }
    if (message.type === "event") {
      if (message.event.id) this.lastId = message.event.id;
      this.handlers.event(message.event);
    } else if (message.type === "lost") {
      this.handlers.lost(message.count, message.reason);
    } else if (message.type === "error") {
      this.handlers.lost(0, message.message);
    }
  }

  private heard(): void {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = setTimeout(() => {
      this.drop();
      this.retryLater();
    }, SILENCE_MS);
  }

  private retryLater(): void {
    clearTimeout(this.silenceTimer);
    this.socket = undefined;
    if (this.stopped) return;
    this.handlers.state("lost", this.retryMs);
    this.retryTimer = setTimeout(() => this.connect(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MAX_MS);
  }
}
