// SPDX-License-Identifier: Apache-2.0
import { ref } from "vue";

const query = window.matchMedia("(max-width: 800px)");
/** Whether the window is as small as a telephone's: the same width as in the style sheets. */
export const narrow = ref(query.matches);
query.addEventListener("change", (event) => {
  narrow.value = event.matches;
});
