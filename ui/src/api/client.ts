// SPDX-License-Identifier: Apache-2.0
// The one place that talks to the server, and to no other host.
import { reactive, ref } from "vue";
import type { Me } from "./types";

const BASE = "/api/v1";
/** Longer than any answer of a healthy server takes. */
const TIMEOUT_MS = 30_000;

/** A refusal or a failure, in words that can be shown. `status` 0: the server was not reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint?: string,
    readonly body?: unknown,
  ) {
    super(message);
  }

  get unreachable(): boolean {
    return this.status === 0;
  }
}

/** Who is logged in; `undefined`: not known yet, `null`: nobody. */
export const me = ref<Me | null | undefined>(undefined);

/** Whether the last request reached the server, and when one last did. */
export const link = reactive({ up: true, lastAnswer: 0 });

export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

export function queryString(query: Query): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === "" || value === false) continue;
    if (Array.isArray(value)) for (const one of value) params.append(name, one);
    else params.set(name, String(value));
  }
  const text = params.toString();
  return text ? `?${text}` : "";
}

export interface Options {
  query?: Query;
  body?: unknown;
  ifMatch?: string;
  signal?: AbortSignal;
  timeoutMs?: number;
}

export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  const init: RequestInit = { method, headers, credentials: "same-origin", cache: "no-store", redirect: "error" };
  if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  if (options.ifMatch) headers["If-Match"] = options.ifMatch;
  if (method !== "GET" && me.value?.csrf) headers["X-CSRF-Token"] = me.value.csrf;
  const timeout = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  init.signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;

  const response = await reach(`${BASE}${path}${queryString(options.query ?? {})}`, init, options.signal);
  const body = await parse(response);
  if (response.ok) return body as T;
  if (response.status === 401 && path !== "/login") me.value = null;
  throw refusal(response, body);
}

async function reach(url: string, init: RequestInit, aborted?: AbortSignal): Promise<Response> {
  try {
    const response = await fetch(url, init);
    link.up = true;
    link.lastAnswer = Date.now();
    return response;
  } catch (error) {
    if (aborted?.aborted) throw error;
    link.up = false;
    const timedOut = error instanceof DOMException && error.name === "TimeoutError";
    throw new ApiError(
      0,
      "unreachable",
      timedOut ? "lictord did not answer in time" : "lictord cannot be reached",
      "is it running? `systemctl status lictord`",
    );
  }
}

async function parse(response: Response): Promise<unknown> {
  const text = await response.text();
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    if (!response.ok) return undefined;
    throw new ApiError(response.status, "not-json", "the answer is not what lictord says; is something in between?");
  }
}

function refusal(response: Response, body: unknown): ApiError {
  const error = (body as { error?: { code?: string; message?: string; hint?: string } } | undefined)?.error;
  const message = error?.message ?? `the server answered ${response.status} ${response.statusText}`.trim();
  return new ApiError(response.status, error?.code ?? "http", message, error?.hint, body);
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> =>
  request<T>("GET", path, { ...(query && { query }), ...(signal && { signal }) });
export const post = <T>(path: string, body?: unknown): Promise<T> => request<T>("POST", path, { body });
export const patch = <T>(path: string, body: unknown): Promise<T> => request<T>("PATCH", path, { body });
export const put = <T>(path: string, body: unknown, ifMatch?: string): Promise<T> =>
  request<T>("PUT", path, { body, ...(ifMatch && { ifMatch }) });
export const remove = <T>(path: string): Promise<T> => request<T>("DELETE", path);

export async function whoAmI(): Promise<void> {
  try {
    me.value = await get<Me>("/me");
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) me.value = null;
    else throw error;
  }
}

export async function login(token: string): Promise<void> {
  me.value = await post<Me>("/login", { token });
}

export async function logout(): Promise<void> {
  await post("/logout", {});
  me.value = null;
}

const RANK = { viewer: 0, operator: 1, admin: 2 } as const;

/** Whether who is logged in may do what needs `role`. The server decides; this only spares a refusal. */
export function may(role: keyof typeof RANK): boolean {
  return me.value ? RANK[me.value.role] >= RANK[role] : false;
}
