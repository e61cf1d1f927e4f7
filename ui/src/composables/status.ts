// SPDX-License-Identifier: Apache-2.0
// What every page shows of the daemon: mode, whether it answers, how many alerts wait.
import { shallowRef } from "vue";
import { type ApiError, get, me } from "../api/client";
import type { Alert, Page, Status } from "../api/types";
import { toApiError } from "./resource";

const EVERY_MS = 5000;

export const status = shallowRef<Status>();
export const statusError = shallowRef<ApiError>();
/** Absent where it is not known; `more` when there are more than were asked for. */
export const openAlerts = shallowRef<{ count: number; more: boolean; worst?: Alert["severity"] }>();

export async function refreshStatus(): Promise<void> {
  try {
    status.value = await get<Status>("/status");
    statusError.value = undefined;
  } catch (error) {
    statusError.value = toApiError(error);
    return;
  }
  try {
    const page = await get<Page<Alert>>("/alerts", { state: "open", limit: 100 });
    openAlerts.value = { count: page.items.length, more: page.next !== null };
  } catch {
    // The page of alerts says why; here the number is only left out.
    openAlerts.value = undefined;
  }
}

/** Asks again and again while somebody is logged in and looks. */
export function watchStatus(): void {
  setInterval(() => {
    if (me.value && !document.hidden) void refreshStatus();
  }, EVERY_MS);
}
