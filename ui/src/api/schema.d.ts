// SPDX-License-Identifier: Apache-2.0
// Generated from schema/openapi.json by `ui/run types`.
export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @enum {string} */
        Action: "allow" | "deny" | "kill" | "hold" | "alert";
        /** @description One thing that needs a person, with everything that was the same thing counted. */
        Alert: {
            agent?: string | null;
            /** @description Whether it has been sent; not while a silence covers it. */
            announced?: boolean;
            /** @description Who changed state or note last. */
            by?: string | null;
            /** @description The acting process and its ancestors, nearest first. */
            chain: components["schemas"]["ChainLink"][];
            /**
             * Format: int64
             * @description Occurrences; of lost events, how many were lost.
             */
            count: number;
            example_event?: components["schemas"]["Event"] | null;
            /** @description RFC 3339, UTC. */
            first_seen: string;
            /** @description A ULID: unique, and sorts by the time of the first occurrence. */
            id: string;
            /** @description What makes two events the same alert. */
            key: string;
            kind?: components["schemas"]["Kind"] | null;
            /** @description RFC 3339, UTC. */
            last_seen: string;
            note?: string | null;
            /** @description The id of the closed alert with the same key. */
            previous?: string | null;
            rule?: string | null;
            session?: string | null;
            severity: components["schemas"]["Severity"];
            source: components["schemas"]["AlertSource"];
            state: components["schemas"]["AlertState"];
            /** @description The other labels of the rules. */
            tags?: string[];
            /** @description ATT&CK techniques, `T1059.004`. */
            techniques: string[];
            tier?: components["schemas"]["Tier"] | null;
            /** @description One line for people; may hold names that come from processes. */
            title: string;
        };
        /** @description What is changed in an alert; what is absent stays. */
        AlertChange: {
            /**
             * @description An empty note removes the note.
             * @default null
             */
            note?: string | null;
            /** @default null */
            state?: components["schemas"]["AlertState"] | null;
        };
        /**
         * @description Where an alert comes from.
         * @enum {string}
         */
        AlertSource: "rule" | "kernel" | "loss" | "degraded" | "tamper";
        /** @enum {string} */
        AlertState: "open" | "acknowledged" | "closed";
        AuditProblem: {
            /** Format: int64 */
            entry?: number | null;
            file: string;
            kind: string;
            /** Format: int64 */
            line: number;
            message: string;
        };
        /** @description What came of a check of the audit chain. */
        AuditReport: {
            /**
             * Format: int64
             * @description How many checkpoints hold.
             */
            checkpoints: number;
            /** Format: int64 */
            entries: number;
            /** @description The hash of the last entry. */
            head: string;
            /** @description The key that signs, in hexadecimal. */
            key?: string | null;
            /** @description What is worth knowing and no problem. */
            notes: string[];
            ok: boolean;
            /** @description At most the first 200. */
            problems: components["schemas"]["AuditProblem"][];
            /**
             * Format: int64
             * @description The last entry that a checkpoint speaks for.
             */
            signed?: number | null;
        };
        /** @description A process of the chain. */
        ChainLink: {
            /** @default null */
            cmdline?: string | null;
            /** @default null */
            exe?: string | null;
            /**
             * Format: int32
             * @default null
             */
            pid?: number | null;
        };
        /** @description A part of the daemon, and how it does. */
        Component: {
            detail: string;
            name: string;
            state: components["schemas"]["HealthState"];
        };
        Container: {
            /** @default null */
            id?: string | null;
            /**
             * @description Kubernetes: the pod's namespace.
             * @default null
             */
            namespace?: string | null;
            /**
             * @description Kubernetes: the pod's name; its uid where the kubelet keeps no record of it.
             * @default null
             */
            pod?: string | null;
            /**
             * @description `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `systemd-nspawn`.
             * @default null
             */
            runtime?: string | null;
        };
        /** @description A process, for ever: numbers are used again. */
        Creator: {
            /** Format: int32 */
            pid: number;
            /**
             * Format: int64
             * @description Nanoseconds of CLOCK_BOOTTIME.
             */
            start_time: number;
        };
        /** @description How many were concerned. */
        Done: {
            /** Format: int64 */
            done: number;
        };
        DryRun: {
            /** @description How many matches are told at the most; 200 when it is not said. */
            limit?: number | null;
            /** @description A time (RFC 3339) or an age (`10m`); what is older is not tried. */
            since?: (string) | null;
            /** @description A file of rules, which are tried whatever their state. */
            text: string;
        };
        DryRunResult: {
            /** @description Events that would have been decided otherwise. */
            changed: components["schemas"]["WouldChange"][];
            /**
             * Format: int64
             * @description How many were tried.
             */
            events: number;
            matches: components["schemas"]["RuleMatch"][];
        };
        ErrorBody: {
            error: components["schemas"]["ErrorDetail"];
        };
        ErrorDetail: {
            /** @description One word, for programs. */
            code: string;
            /** @description What to do. */
            hint?: string | null;
            /** @description For people. */
            message: string;
            /** @description Of a text that was sent. */
            problems?: components["schemas"]["TextProblem"][];
        };
        /** @description One thing that happened, or was refused. */
        Event: {
            agent?: string | null;
            exec?: components["schemas"]["Exec"] | null;
            file?: components["schemas"]["File"] | null;
            /** @description A ULID: unique, and sorts by time. Empty only in hand-written events. */
            id?: string;
            kind: components["schemas"]["Kind"];
            lost?: components["schemas"]["Lost"] | null;
            memory?: components["schemas"]["Memory"] | null;
            network?: components["schemas"]["Network"] | null;
            privilege?: components["schemas"]["Privilege"] | null;
            process?: components["schemas"]["Process"];
            process_event?: components["schemas"]["ProcessEvent"] | null;
            session?: string | null;
            /** @description RFC 3339 with nanoseconds, UTC. */
            time?: string;
            verdict?: components["schemas"]["Verdict"] | null;
        };
        /** @description Events that fulfil every filter that is set; of a list, one entry is enough. An empty query wants all. */
        EventQuery: {
            /**
             * @description The other end: an address, or a pattern with `*` and `?`.
             * @default []
             */
            address?: string[];
            /** @default [] */
            agent?: string[];
            /**
             * @description Only what was refused, or would have been.
             * @default false
             */
            denied?: boolean;
            /** @default [] */
            kind?: components["schemas"]["Kind"][];
            /**
             * @description The file, program or socket acted on: a path and what is below it, or a pattern with `*` and `?`.
             * @default []
             */
            path?: string[];
            /**
             * @description The acting program: a path, a file name, or a pattern with `*` and `?`.
             * @default []
             */
            program?: string[];
            /**
             * @description The deciding rule or another one that matched: its name, or a pattern with `*` and `?`.
             * @default []
             */
            rule?: string[];
            /** @default [] */
            session?: string[];
            /** @default [] */
            severity?: components["schemas"]["Severity"][];
            /**
             * Format: date-time
             * @description RFC 3339; what is older is left out.
             * @default null
             */
            since?: string | null;
            /**
             * @description Every word of it stands somewhere in the event; capital letters are the same as small ones.
             * @default null
             */
            text?: string | null;
            /** @default [] */
            tier?: components["schemas"]["Tier"][];
            /**
             * Format: date-time
             * @description RFC 3339; what is newer is left out.
             * @default null
             */
            until?: string | null;
            /**
             * @description What was decided.
             * @default []
             */
            verdict?: components["schemas"]["Action"][];
        };
        /** @description What a tier said. */
        Evidence: {
            detail: string;
            outcome: string;
            tier: components["schemas"]["Tier"];
        };
        Exec: {
            /**
             * @description Of an execution that was denied: the arguments as the caller passed them. A hint, and no fact: the caller can have
             *     changed them while the kernel decided, and nothing is decided by them. What runs has its arguments in `process`.
             * @default []
             */
            args?: string[];
            /**
             * @description For a script: the program that reads it.
             * @default null
             */
            interpreter?: string | null;
            /** @default null */
            path?: string | null;
            /** @default null */
            sha256?: string | null;
        };
        /** @description The answer to "why": everything a person needs to agree with a verdict or to change it. */
        Explanation: {
            event: components["schemas"]["Event"];
            /** @description What the verdict was based on, in the order that helps reading. */
            facts: components["schemas"]["Fact"][];
            /** @description The line that would change the verdict. */
            fix?: string | null;
            rule?: string | null;
            /** @description `FILE:LINE:COLUMN`. */
            source?: string | null;
            /** @description One sentence: who wanted what, and what became of it. */
            summary: string;
        };
        Fact: {
            name: string;
            value: string;
        };
        File: {
            op: components["schemas"]["FileOp"];
            path?: string | null;
            /** @description The other end of a rename or a link. */
            to?: string | null;
        };
        /** @enum {string} */
        FileOp: "read" | "write" | "create" | "delete" | "rename" | "link" | "attributes";
        /** @enum {string} */
        HealthState: "ok" | "degraded" | "failed";
        /** @description A process that is stopped before its first instruction. */
        HeldInfo: {
            cmdline?: string | null;
            key: string;
            /** Format: int32 */
            pid: number;
            session: string;
            /** Format: int64 */
            waiting_ms: number;
        };
        Hooks: {
            /** Format: int64 */
            attached: number;
            /** @description Hooks that this kernel does not have, or that failed to attach. */
            missing?: string[];
        };
        /** @description One event with everything that helps to understand it. */
        Investigation: {
            after: components["schemas"]["Event"][];
            /** @description Of the same session, oldest first. */
            before: components["schemas"]["Event"][];
            /** @description The process and those that it descends from, oldest first. */
            chain: components["schemas"]["ChainLink"][];
            event: components["schemas"]["Event"];
            evidence: components["schemas"]["Evidence"][];
            explanation: components["schemas"]["Explanation"];
            rule_text?: components["schemas"]["RuleText"] | null;
        };
        /**
         * @description What an event is about; names the object that it carries.
         * @enum {string}
         */
        Kind: "exec" | "file" | "network" | "process" | "memory" | "privilege" | "lost";
        /** @description What the server sends. */
        LiveMessage: {
            event: components["schemas"]["Event"];
            /** @enum {string} */
            type: "event";
        } | {
            /** Format: int64 */
            count: number;
            reason: string;
            /** @enum {string} */
            type: "lost";
        } | {
            /** @enum {string} */
            type: "ping";
        } | {
            message: string;
            /** @enum {string} */
            type: "error";
        };
        /** @description What a client may send. */
        LiveRequest: {
            filter: components["schemas"]["EventQuery"];
            /** @enum {string} */
            type: "filter";
        } | {
            /** @enum {string} */
            type: "pause";
        } | {
            /** @enum {string} */
            type: "resume";
        };
        LoginRequest: {
            token: string;
        };
        Lost: {
            /** Format: int64 */
            count: number;
            reason: string;
        };
        /** @description The answer to a login, and to the question who one is. */
        Me: {
            /** @description For the header `X-CSRF-Token` of requests that change something; absent where no cookie is used. */
            csrf?: string | null;
            name: string;
            role: components["schemas"]["Role"];
        };
        Memory: {
            op: components["schemas"]["MemoryOp"];
            /** @description Absent when the memory has no file behind it. */
            path?: string | null;
        };
        /** @enum {string} */
        MemoryOp: "map_exec" | "protect_exec";
        /** @enum {string} */
        Mode: "enforce" | "monitor";
        Network: {
            /** @description An IP address, or for unix sockets the path or `@name`. */
            address?: string | null;
            domain?: string | null;
            /** @description `inet`, `inet6`, `unix`, `netlink` and so on, or the number of a family that has no name here. */
            family?: string | null;
            op: components["schemas"]["NetworkOp"];
            /** Format: int32 */
            port?: number | null;
            /** @description `tcp`, `udp`, or the protocol's number. */
            protocol?: string | null;
        };
        /** @enum {string} */
        NetworkOp: "connect" | "send" | "listen" | "accept" | "socket";
        /** @description What a client asks for; the daemon adds id and author. */
        NewSilence: {
            match: components["schemas"]["SilenceMatch"];
            reason?: string;
            /**
             * Format: date-time
             * @description RFC 3339; must lie in the future.
             */
            until: string;
        };
        /** @description Programs that an earlier build of the daemon loaded, and that go on governing the sessions it started. */
        OlderBuild: {
            /** @description Sixteen hexadecimal digits, as the folder of its pins is named. */
            build: string;
            /** @description Why the daemon cannot look after it. */
            problem?: string | null;
            /**
             * Format: int64
             * @description How many of its sessions the daemon knows by name.
             */
            sessions: number;
        };
        /** @description What happened in a time, at a glance. */
        Overview: {
            /**
             * Format: int64
             * @description Absent where nobody keeps alerts.
             */
            alerts_open?: number | null;
            /**
             * Format: int64
             * @description Events that could not be delivered in that time.
             */
            lost: number;
            /**
             * Format: int64
             * @description Sessions that are live.
             */
            sessions: number;
            /** @description The rules that denied most, most first. */
            top_denials: components["schemas"]["TopDenial"][];
            verdicts: components["schemas"]["VerdictBucket"][];
        };
        /** @description A part of a list, and where the next part begins. */
        Page_Alert: {
            items: {
                agent?: string | null;
                /** @description Whether it has been sent; not while a silence covers it. */
                announced?: boolean;
                /** @description Who changed state or note last. */
                by?: string | null;
                /** @description The acting process and its ancestors, nearest first. */
                chain: components["schemas"]["ChainLink"][];
                /**
                 * Format: int64
                 * @description Occurrences; of lost events, how many were lost.
                 */
                count: number;
                example_event?: components["schemas"]["Event"] | null;
                /** @description RFC 3339, UTC. */
                first_seen: string;
                /** @description A ULID: unique, and sorts by the time of the first occurrence. */
                id: string;
                /** @description What makes two events the same alert. */
                key: string;
                kind?: components["schemas"]["Kind"] | null;
                /** @description RFC 3339, UTC. */
                last_seen: string;
                note?: string | null;
                /** @description The id of the closed alert with the same key. */
                previous?: string | null;
                rule?: string | null;
                session?: string | null;
                severity: components["schemas"]["Severity"];
                source: components["schemas"]["AlertSource"];
                state: components["schemas"]["AlertState"];
                /** @description The other labels of the rules. */
                tags?: string[];
                /** @description ATT&CK techniques, `T1059.004`. */
                techniques: string[];
                tier?: components["schemas"]["Tier"] | null;
                /** @description One line for people; may hold names that come from processes. */
                title: string;
            }[];
            /** @description `cursor` of the request for what follows; null at the end. */
            next?: string | null;
        };
        /** @description A part of a list, and where the next part begins. */
        Page_Component: {
            items: {
                detail: string;
                name: string;
                state: components["schemas"]["HealthState"];
            }[];
            /** @description `cursor` of the request for what follows; null at the end. */
            next?: string | null;
        };
        /** @description A part of a list, and where the next part begins. */
        Page_Event: {
            items: {
                agent?: string | null;
                exec?: components["schemas"]["Exec"] | null;
                file?: components["schemas"]["File"] | null;
                /** @description A ULID: unique, and sorts by time. Empty only in hand-written events. */
                id?: string;
                kind: components["schemas"]["Kind"];
                lost?: components["schemas"]["Lost"] | null;
                memory?: components["schemas"]["Memory"] | null;
                network?: components["schemas"]["Network"] | null;
                privilege?: components["schemas"]["Privilege"] | null;
                process?: components["schemas"]["Process"];
                process_event?: components["schemas"]["ProcessEvent"] | null;
                session?: string | null;
                /** @description RFC 3339 with nanoseconds, UTC. */
                time?: string;
                verdict?: components["schemas"]["Verdict"] | null;
            }[];
            /** @description `cursor` of the request for what follows; null at the end. */
            next?: string | null;
        };
        /** @description A part of a list, and where the next part begins. */
        Page_ProcessInfo: {
            items: {
                agent?: string | null;
                cmdline?: string | null;
                container?: components["schemas"]["Container"] | null;
                cwd?: string | null;
                /**
                 * Format: int64
                 * @description How often something was denied to it.
                 */
                denied?: number;
                /** @description It has ended; somebody whom it created lives. */
                ended?: boolean;
                exe?: string | null;
                /** @description It is stopped before its first instruction, until somebody has judged it. */
                held?: boolean;
                /** @description The kernel's short name for it. */
                name?: string | null;
                parent?: components["schemas"]["Creator"] | null;
                /** Format: int32 */
                pid: number;
                /**
                 * Format: int32
                 * @description Who looks after it now.
                 */
                ppid: number;
                /** @description The session that governs it. */
                session?: string | null;
                /** @description Of its program, when hashes were asked for and it could be read in time. */
                sha256?: string | null;
                /**
                 * Format: int64
                 * @description Nanoseconds of CLOCK_BOOTTIME; with `pid` its identity.
                 */
                start_time: number;
                /** Format: int32 */
                uid: number;
                user?: string | null;
            }[];
            /** @description `cursor` of the request for what follows; null at the end. */
            next?: string | null;
        };
        /** @description A part of a list, and where the next part begins. */
        Page_Profile: {
            items: {
                name: string;
                text: string;
            }[];
            /** @description `cursor` of the request for what follows; null at the end. */
            next?: string | null;
        };
        /** @description A part of a list, and where the next part begins. */
        Page_RuleRow: {
            items: {
                /** @description `allow`, `deny`, `alert` or `escalate`. */
                action: string;
                description: string;
                file: string;
                /** Format: int64 */
                hits: number;
                id: string;
                kinds: components["schemas"]["Kind"][];
                last_hit?: string | null;
                /** Format: int32 */
                line: number;
                /** Format: int64 */
                programs: number;
                /**
                 * Format: int64
                 * @description How many different ones it hit.
                 */
                sessions: number;
                severity: components["schemas"]["Severity"];
                state: components["schemas"]["RuleState"];
                tags: string[];
                /** Format: int64 */
                users: number;
            }[];
            /** @description `cursor` of the request for what follows; null at the end. */
            next?: string | null;
        };
        /** @description A part of a list, and where the next part begins. */
        Page_SessionRow: {
            items: {
                agent?: string | null;
                /** @description The command line that it began with. */
                command?: string | null;
                /** Format: int64 */
                denied: number;
                /** @description Absent while it is live. */
                ended?: string | null;
                /** Format: int64 */
                events: number;
                id: string;
                mode?: components["schemas"]["Mode"] | null;
                /** @description Where its policy comes from: a file, or `built-in`. */
                policy?: string | null;
                /** @description The built-in profile, where it is one. */
                profile?: string | null;
                /** @description Of a past session: its first recorded event. */
                started: string;
                /**
                 * Format: int64
                 * @description Processes that run.
                 */
                tasks: number;
                user?: string | null;
            }[];
            /** @description `cursor` of the request for what follows; null at the end. */
            next?: string | null;
        };
        /** @description A part of a list, and where the next part begins. */
        Page_Silence: {
            items: {
                /** @description Who made it. */
                by: string;
                /** @description A ULID. */
                id: string;
                match: components["schemas"]["SilenceMatch"];
                reason: string;
                /** @description RFC 3339, UTC. */
                until: string;
            }[];
            /** @description `cursor` of the request for what follows; null at the end. */
            next?: string | null;
        };
        /** @description A part of a list, and where the next part begins. */
        Page_TextFile: {
            items: {
                etag: string;
                name: string;
                text: string;
            }[];
            /** @description `cursor` of the request for what follows; null at the end. */
            next?: string | null;
        };
        /** @description A part of a list, and where the next part begins. */
        Page_Value: {
            items: unknown[];
            /** @description `cursor` of the request for what follows; null at the end. */
            next?: string | null;
        };
        Parent: {
            /** @default null */
            args?: string[] | null;
            /** @default null */
            cmdline?: string | null;
            /** @default null */
            exe?: string | null;
            /**
             * Format: int32
             * @default null
             */
            pid?: number | null;
        };
        PolicyDiff: {
            /** @description In the unified form; empty when nothing differs. */
            diff: string;
            /**
             * Format: int64
             * @description How many recorded events were asked for.
             */
            events: number;
            would_change: components["schemas"]["WouldChange"][];
        };
        PolicyView: {
            agents: string[];
            /**
             * Format: int64
             * @description Counts the policies that have been in force since the daemon started.
             */
            epoch: number;
            etag: string;
            /** @description The file; `built-in` when there is none. */
            file: string;
            text: string;
        };
        Privilege: {
            detail?: string | null;
            /** @description `capability`, `module`, `mount`, `bpf`, `userns`, `key` and others: an open set, it grows with the kernel. */
            op: string;
        };
        /** @description What is wrong with a text; nothing is, when the list is empty. */
        Problems: {
            problems: components["schemas"]["TextProblem"][];
        };
        /** @description Who acted. */
        Process: {
            /**
             * @description The parent's parent and so on, nearest first, as far as they are known.
             * @default []
             */
            ancestors?: components["schemas"]["Parent"][];
            /** @default null */
            args?: string[] | null;
            /**
             * @description The arguments joined by spaces, for reading and searching; `args` is exact.
             * @default null
             */
            cmdline?: string | null;
            /** @default null */
            container?: components["schemas"]["Container"] | null;
            /** @default null */
            cwd?: string | null;
            /** @default null */
            exe?: string | null;
            /**
             * Format: int32
             * @default null
             */
            gid?: number | null;
            /** @default null */
            parent?: components["schemas"]["Parent"] | null;
            /**
             * Format: int32
             * @default null
             */
            pid?: number | null;
            /**
             * Format: int32
             * @default null
             */
            ppid?: number | null;
            /**
             * Format: int64
             * @description Nanoseconds since boot. With `pid` it names one process for good; a pid alone is used again.
             * @default null
             */
            start_time?: number | null;
            /**
             * Format: int32
             * @default null
             */
            uid?: number | null;
        };
        ProcessEvent: {
            /**
             * Format: int32
             * @description The signal's number, the new uid, or the exit status (128+N when signal N ended it).
             */
            code?: number | null;
            op: components["schemas"]["ProcessOp"];
            /**
             * Format: int32
             * @description The other process's pid.
             */
            target?: number | null;
        };
        /** @description A process of the host, whether governed or not. Text as in events. */
        ProcessInfo: {
            agent?: string | null;
            cmdline?: string | null;
            container?: components["schemas"]["Container"] | null;
            cwd?: string | null;
            /**
             * Format: int64
             * @description How often something was denied to it.
             */
            denied?: number;
            /** @description It has ended; somebody whom it created lives. */
            ended?: boolean;
            exe?: string | null;
            /** @description It is stopped before its first instruction, until somebody has judged it. */
            held?: boolean;
            /** @description The kernel's short name for it. */
            name?: string | null;
            parent?: components["schemas"]["Creator"] | null;
            /** Format: int32 */
            pid: number;
            /**
             * Format: int32
             * @description Who looks after it now.
             */
            ppid: number;
            /** @description The session that governs it. */
            session?: string | null;
            /** @description Of its program, when hashes were asked for and it could be read in time. */
            sha256?: string | null;
            /**
             * Format: int64
             * @description Nanoseconds of CLOCK_BOOTTIME; with `pid` its identity.
             */
            start_time: number;
            /** Format: int32 */
            uid: number;
            user?: string | null;
        };
        ProcessNode: {
            args?: string[] | null;
            children: components["schemas"]["ProcessNode"][];
            cwd?: string | null;
            /** Format: int64 */
            denied: number;
            ended?: string | null;
            exe?: string | null;
            /** Format: int32 */
            exit_code?: number | null;
            /** Format: int32 */
            pid: number;
            /** Format: int32 */
            ppid?: number | null;
            /** Format: int64 */
            start_time?: number | null;
            /** @description When it was first seen. */
            started: string;
            state: components["schemas"]["ProcessState"];
            /** Format: int32 */
            uid?: number | null;
        };
        /** @enum {string} */
        ProcessOp: "fork" | "exit" | "signal" | "trace" | "setuid";
        /** @enum {string} */
        ProcessState: "running" | "exited";
        /** @description A policy that ships with Lictor. */
        Profile: {
            name: string;
            text: string;
        };
        RememberedInfo: {
            allow: boolean;
            /** Format: int64 */
            expires_in_ms?: number | null;
            key: string;
            verdict?: components["schemas"]["Verdict"] | null;
        };
        /**
         * @description What somebody may do: each role may do what those before it may.
         * @enum {string}
         */
        Role: "viewer" | "operator" | "admin";
        RuleDetail: components["schemas"]["RuleRow"] & {
            condition: string;
            /** @description As it is written in its file. */
            text: string;
        };
        RuleMatch: {
            action: string;
            /** @description An event's id. */
            event: string;
            rule: string;
        };
        RuleRow: {
            /** @description `allow`, `deny`, `alert` or `escalate`. */
            action: string;
            description: string;
            file: string;
            /** Format: int64 */
            hits: number;
            id: string;
            kinds: components["schemas"]["Kind"][];
            last_hit?: string | null;
            /** Format: int32 */
            line: number;
            /** Format: int64 */
            programs: number;
            /**
             * Format: int64
             * @description How many different ones it hit.
             */
            sessions: number;
            severity: components["schemas"]["Severity"];
            state: components["schemas"]["RuleState"];
            tags: string[];
            /** Format: int64 */
            users: number;
        };
        /** @enum {string} */
        RuleState: "draft" | "testing" | "active";
        RuleStateChange: {
            state: components["schemas"]["RuleState"];
        };
        /** @description The text of a rule or policy entry, and where it stands. */
        RuleText: {
            file: string;
            /** Format: int32 */
            line: number;
            text: string;
        };
        SessionDetail: components["schemas"]["SessionRow"] & {
            /** @description Whether the session has more events than were looked at: then tree, touched and timeline tell of the newest. */
            partial: boolean;
            timeline: components["schemas"]["TimelineBucket"][];
            touched: components["schemas"]["Touched"];
            /** @description The processes that nobody in the session started. */
            tree: components["schemas"]["ProcessNode"][];
        };
        /** @description A session, live or past. */
        SessionRow: {
            agent?: string | null;
            /** @description The command line that it began with. */
            command?: string | null;
            /** Format: int64 */
            denied: number;
            /** @description Absent while it is live. */
            ended?: string | null;
            /** Format: int64 */
            events: number;
            id: string;
            mode?: components["schemas"]["Mode"] | null;
            /** @description Where its policy comes from: a file, or `built-in`. */
            policy?: string | null;
            /** @description The built-in profile, where it is one. */
            profile?: string | null;
            /** @description Of a past session: its first recorded event. */
            started: string;
            /**
             * Format: int64
             * @description Processes that run.
             */
            tasks: number;
            user?: string | null;
        };
        /** @enum {string} */
        Severity: "info" | "low" | "medium" | "high" | "critical";
        /** @description Keeps matching alerts from being sent until it ends. They are still counted and listed. */
        Silence: {
            /** @description Who made it. */
            by: string;
            /** @description A ULID. */
            id: string;
            match: components["schemas"]["SilenceMatch"];
            reason: string;
            /** @description RFC 3339, UTC. */
            until: string;
        };
        /** @description All that is given must fit. `*` stands for any run of characters. */
        SilenceMatch: {
            /** @default null */
            agent?: string | null;
            /** @default null */
            program?: string | null;
            /** @default null */
            rule?: string | null;
            /** @default null */
            session?: string | null;
        };
        /**
         * @description Whether denials take place.
         * @enum {string}
         */
        State: "ENFORCING" | "MONITORING" | "DEGRADED";
        Status: {
            counters?: {
                [key: string]: number;
            };
            /**
             * Format: int64
             * @description Counts the policies that have been in force since the daemon started.
             */
            epoch?: number;
            hooks: components["schemas"]["Hooks"];
            /** @description The tiers above the policy, in their order. */
            judge?: components["schemas"]["TierStatus"][];
            kernel: string;
            /** @description The kernel's list of active security modules, in its order. */
            lsm?: string[];
            /** @description Programs of other builds that are still in force, until their last session ends. */
            older_builds?: components["schemas"]["OlderBuild"][];
            /** Format: int32 */
            pid: number;
            /** @description The policy in force: a file, or `built-in`. */
            policy: string;
            /** @description Why it is not ENFORCING; empty when it is. */
            reasons?: string[];
            /** @description Each rule's hits, last hit and whom it hit. */
            rules?: unknown;
            /**
             * Format: int64
             * @description All of them, those that older builds' programs govern included.
             */
            sessions: number;
            state: components["schemas"]["State"];
            store?: components["schemas"]["StoreStatus"] | null;
            /** Format: int64 */
            uptime_ms: number;
            version: string;
        };
        /** @description The event store. */
        StoreStatus: {
            /**
             * Format: int64
             * @description Damaged files that were put aside.
             */
            damaged_files: number;
            /** Format: int64 */
            lost: number;
            /** Format: int64 */
            queued: number;
            reasons?: string[];
            /**
             * Format: int64
             * @description Bytes of the store; the archive is not counted.
             */
            size: number;
            /** @description `working` or `degraded`; enforcement does not depend on it. */
            state: string;
            /**
             * Format: int64
             * @description Events since the daemon's start: on disk, waiting, and lost for want of room or time.
             */
            written: number;
        };
        /** @description A text that is sent. */
        Text: {
            text: string;
        };
        /** @description A file's text, and what it is known by: the same text has the same `etag`. */
        TextFile: {
            etag: string;
            name: string;
            text: string;
        };
        /** @description Lines and columns count from one. */
        TextProblem: {
            /** Format: int32 */
            column: number;
            /** Format: int32 */
            line: number;
            message: string;
        };
        /**
         * @description Who decided.
         * @enum {string}
         */
        Tier: "floor" | "heartbeat" | "policy" | "verdict-cache" | "rules" | "classifier" | "llm" | "human";
        /** @description One tier of the judge. */
        TierStatus: {
            /** @description The tier's own counters. */
            counts?: unknown;
            reasons?: string[];
            /** @description `working` or `degraded`. */
            state: string;
            tier: components["schemas"]["Tier"];
        };
        TimelineBucket: {
            /** Format: int64 */
            denied: number;
            /** Format: int64 */
            events: number;
            time: string;
        };
        TopDenial: {
            /** Format: int64 */
            count: number;
            /** @description The newest event's id. */
            example_event: string;
            last: string;
            /** @description The tier's name where no rule is named. */
            rule: string;
        };
        /** @description What a session touched: of each kind at most a thousand, those denied and those touched most first. */
        Touched: {
            files: components["schemas"]["TouchedFile"][];
            network: components["schemas"]["TouchedAddress"][];
            programs: components["schemas"]["TouchedProgram"][];
        };
        TouchedAddress: {
            address: string;
            /** Format: int64 */
            count: number;
            /** Format: int64 */
            denied: number;
            op: components["schemas"]["NetworkOp"];
            /** Format: int32 */
            port?: number | null;
        };
        TouchedFile: {
            /** Format: int64 */
            count: number;
            /** Format: int64 */
            denied: number;
            ops: components["schemas"]["FileOp"][];
            path: string;
        };
        TouchedProgram: {
            /** Format: int64 */
            count: number;
            /** Format: int64 */
            denied: number;
            path: string;
        };
        /** @description What was decided, by whom, and where that is written. */
        Verdict: {
            action: components["schemas"]["Action"];
            /** @description Other rules that matched. */
            also?: string[];
            /** @description `false` in monitor mode, where the denial did not take place; otherwise absent. */
            enforced?: boolean | null;
            /** Format: int64 */
            latency_us?: number | null;
            reason?: string | null;
            /** @description `coder.files.deny[1]` for an entry, `coder.files.write` for a list that does not name the object. */
            rule?: string | null;
            /**
             * Format: double
             * @description The classifier's probability that this is malicious, 0 to 1.
             */
            score?: number | null;
            severity?: components["schemas"]["Severity"] | null;
            /** @description `FILE:LINE:COLUMN`. */
            source?: string | null;
            /** @description Techniques (ATT&CK) and other labels of what matched. */
            tags?: string[];
            tier: components["schemas"]["Tier"];
        };
        /** @enum {string} */
        VerdictAction: "allow" | "deny";
        /** @description Counts from `time` on, until the next bucket's. */
        VerdictBucket: {
            /** Format: int64 */
            alert: number;
            /** Format: int64 */
            allow: number;
            /** Format: int64 */
            deny: number;
            /** Format: int64 */
            hold: number;
            /** Format: int64 */
            kill: number;
            time: string;
        };
        /** @description A person's verdict. */
        VerdictChange: {
            action: components["schemas"]["VerdictAction"];
            /** @description Such as `1h`; without it the verdict holds until it is removed. */
            ttl?: string | null;
        };
        /** @description What the kernel remembers, and who waits. */
        Verdicts: {
            held: components["schemas"]["HeldInfo"][];
            remembered: components["schemas"]["RememberedInfo"][];
        };
        WouldChange: {
            after: components["schemas"]["Action"];
            before?: components["schemas"]["Action"] | null;
            /** @description An event's id. */
            event: string;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
