// What this user may do, and administrative access: the second, privileged bridge of Cockpit.
import type { Snapshot } from "./bus";

/** yes: at once. admin: with administrative access. no: never. */
export type Allowed = "yes" | "admin" | "no";

/** Whether this user may do what the action guards. Without administrative access Cockpit opens no password dialog for polkit. */
export function allowed(snapshot: Snapshot, action: string): Allowed {
    const answer = snapshot.permissions[action];
    return answer === "yes" ? "yes" : answer === "challenge" ? "admin" : "no";
}

/** A question of the host for administrative access, such as for a password. `answer` without a text gives up. */
export interface Question {
    message: string;
    label: string;
    secret: boolean;
    error: string;
    answer(text?: string): void;
}

/** Turns on administrative access. The host asks its questions; the page is loaded again when it is on. */
export async function turnOnAdministrativeAccess(ask: (question: Question) => void): Promise<void> {
    const client = window.cockpit.dbus(null, { bus: "internal" });
    const path = "/superuser";
    const iface = "cockpit.Superuser";
    const prompts = client.subscribe({ path, interface: iface, member: "Prompt" }, (_path, _iface, _member, args) => {
        const [message, label, , echo, error] = args as [string, string, string, boolean, string];
        ask({
            message,
            label,
            secret: !echo,
            error,
            answer: (text) => {
                void (text === undefined
                    ? client.call(path, iface, "Stop", [])
                    : client.call(path, iface, "Answer", [text]));
            },
        });
    });
    try {
        const [bridges] = await client.call(path, "org.freedesktop.DBus.Properties", "Get", [iface, "Bridges"]);
        const names = (bridges as { v: string[] }).v;
        const bridge = names.find((name) => name === "sudo") ?? names[0];
        if (bridge === undefined) throw { message: "", problem: "access-denied" } satisfies cockpit.Failure;
        await client.call(path, iface, "Start", [bridge]);
        window.location.reload();
    } finally {
        prompts.remove();
        client.close();
    }
}
