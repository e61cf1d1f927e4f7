// SPDX-License-Identifier: Apache-2.0
import { shallowReactive } from "vue";

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

export const toasts = shallowReactive<Toast[]>([]);
let nextId = 0;

/** Says that something was done, or failed, without taking the focus. */
export function toast(text: string, bad = false): void {
  const id = nextId;
  nextId += 1;
  toasts.push({ id, text, bad });
  setTimeout(() => dismiss(id), bad ? 10_000 : 4000);
}

export function dismiss(id: number): void {
  const at = toasts.findIndex((one) => one.id === id);
  if (at >= 0) toasts.splice(at, 1);
}
