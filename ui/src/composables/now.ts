// SPDX-License-Identifier: Apache-2.0
import { ref } from "vue";

/** The time, once a second: what says "3m ago" reads it. */
export const now = ref(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);
