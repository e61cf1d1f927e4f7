// SPDX-License-Identifier: Apache-2.0
import { nextTick } from "vue";
import { createRouter, createWebHistory, type RouteLocationNormalized } from "vue-router";
import { me, whoAmI } from "./api/client";
import OverviewView from "./views/OverviewView.vue";

declare module "vue-router" {
  interface RouteMeta {
    title: string;
    /** Shown without anybody logged in. */
    open?: boolean;
  }
}

export const router = createRouter({
  history: createWebHistory(),
  // Only the first page is in the first file; the others come when they are asked for.
  routes: [
    { path: "/", name: "overview", component: OverviewView, meta: { title: "Overview" } },
    { path: "/live", name: "live", component: () => import("./views/LiveView.vue"), meta: { title: "Live" } },
    {
      path: "/sessions",
      name: "sessions",
      component: () => import("./views/SessionsView.vue"),
      meta: { title: "Sessions" },
    },
    {
      path: "/sessions/:id",
      name: "session",
      component: () => import("./views/SessionView.vue"),
      meta: { title: "Session" },
    },
    { path: "/alerts", name: "alerts", component: () => import("./views/AlertsView.vue"), meta: { title: "Alerts" } },
    {
      path: "/investigate",
      name: "search",
      component: () => import("./views/SearchView.vue"),
      meta: { title: "Investigate" },
    },
    {
      path: "/investigate/:id",
      name: "event",
      component: () => import("./views/EventView.vue"),
      meta: { title: "Event" },
    },
    { path: "/rules", name: "rules", component: () => import("./views/RulesView.vue"), meta: { title: "Rules" } },
    // The names of rules and files have dots in them; in a path the server would take them for files of its own.
    {
      path: "/rules/files",
      name: "rules-files",
      component: () => import("./views/RulesFilesView.vue"),
      meta: { title: "Rules files" },
    },
    { path: "/rules/rule", name: "rule", component: () => import("./views/RuleView.vue"), meta: { title: "Rule" } },
    {
      path: "/policies",
      name: "policies",
      component: () => import("./views/PoliciesView.vue"),
      meta: { title: "Policies" },
    },
    {
      path: "/verdicts",
      name: "verdicts",
      component: () => import("./views/VerdictsView.vue"),
      meta: { title: "Verdicts" },
    },
    { path: "/audit", name: "audit", component: () => import("./views/AuditView.vue"), meta: { title: "Audit" } },
    {
      path: "/settings",
      name: "settings",
      component: () => import("./views/SettingsView.vue"),
      meta: { title: "Settings and health" },
    },
    {
      path: "/login",
      name: "login",
      component: () => import("./views/LoginView.vue"),
      meta: { title: "Log in", open: true },
    },
    {
      path: "/:rest(.*)*",
      name: "missing",
      component: () => import("./views/MissingView.vue"),
      meta: { title: "Not found" },
    },
  ],
});

router.beforeEach(async (to) => {
  if (me.value === undefined) {
    try {
      await whoAmI();
    } catch {
      // The server does not answer: the page is shown, and the banner says so.
      return true;
    }
  }
  if (me.value === null && !to.meta.open) return { name: "login", query: to.path === "/" ? {} : { next: to.fullPath } };
  if (me.value && to.name === "login") return { name: "overview" };
  return true;
});

const opensAPage = (to: RouteLocationNormalized, from: RouteLocationNormalized) =>
  from.name !== undefined && to.path !== from.path;

router.afterEach(async (to, from) => {
  document.title = `${to.meta.title} · Lictor`;
  if (!opensAPage(to, from)) return;
  document.querySelector("main")?.scrollTo({ top: 0 });
  // A new page begins at its heading, for the keyboard and for screen readers.
  await nextTick();
  document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true });
});
