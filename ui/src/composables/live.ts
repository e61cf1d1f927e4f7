// SPDX-License-Identifier: Apache-2.0
import { computed, onScopeDispose, ref, shallowRef } from "vue";
import { type ApiError, get, type Query } from "../api/client";
import { EventStream, type StreamState } from "../api/stream";
import type { Event, Page } from "../api/types";
import { Ring } from "../lib/ring";
import { toApiError } from "./resource";

export const CAPACITY = 100_000;
/** How many stored events a page begins with. */
const BEGIN_WITH = 500;

/**
 * The last events, newest first, and those that come. Events go into the ring as they arrive; the view is told of them
 * once a frame at most. A view that is held (paused, or scrolled down) stands still and counts what it does not show.
 */
export function useLive() {
  const ring = new Ring<Event>(CAPACITY);
  /** The ring's total that the view knows of, and where the view ends: not beyond what came while it was held. */
  const known = ref(0);
  const end = ref(0);
  const held = ref(false);
  const state = ref<StreamState>("closed");
  const lost = ref({ count: 0, reason: "" });
  const rate = ref(0);
  const error = shallowRef<ApiError>();
  const loading = ref(false);
  let stream: EventStream | undefined;
  let run = 0;
  let frame = 0;

  const first = computed(() => Math.max(0, known.value - CAPACITY));
  const length = computed(() => Math.max(0, end.value - first.value));
  const unseen = computed(() => known.value - end.value);
  /** Row 0 is the newest. */
  const row = (at: number): Event | undefined => ring.at(end.value - 1 - at);

  function show(): void {
    frame = 0;
    known.value = ring.total;
    if (!held.value) end.value = ring.total;
  }
  function push(event: Event): void {
    ring.push(event);
    if (frame === 0) frame = requestAnimationFrame(show);
  }
  function hold(value: boolean): void {
    held.value = value;
    show();
  }

  async function restart(query: Query): Promise<void> {
    run += 1;
    const mine = run;
    stream?.stop();
    ring.clear();
    error.value = undefined;
    lost.value = { count: 0, reason: "" };
    loading.value = true;
    show();
    try {
      const page = await get<Page<Event>>("/events", { ...query, order: "desc", limit: BEGIN_WITH });
      if (mine !== run) return;
      for (const event of page.items.reverse()) ring.push(event);
    } catch (failure) {
      if (mine !== run) return;
      error.value = toApiError(failure);
    }
    loading.value = false;
    show();
    end.value = ring.total;
    const newest = ring.at(ring.total - 1);
    stream = new EventStream(query, {
      event: push,
      lost: (count, reason) => {
        lost.value = { count: lost.value.count + count, reason };
      },
      state: (now) => {
        if (mine === run) state.value = now;
      },
    });
    stream.start(newest?.id);
  }

  // Events a second, over the last second.
  let before = 0;
  const timer = setInterval(() => {
    rate.value = Math.max(0, ring.total - before);
    before = ring.total;
  }, 1000);
  onScopeDispose(() => {
    run += 1;
    clearInterval(timer);
    cancelAnimationFrame(frame);
    stream?.stop();
  });

  return {
    length,
    unseen,
    held,
    state,
    lost,
    rate,
    error,
    loading,
    row,
    hold,
    push,
    restart,
    retry: () => stream?.retryNow(),
  };
}
