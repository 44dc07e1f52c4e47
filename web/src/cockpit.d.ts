// What this page uses of the host's cockpit.js (Cockpit 287 and later). Written from Cockpit's documentation of its API.

declare namespace cockpit {
    /** A failed call or command. `name` is the error's name on the bus, `problem` a word of Cockpit's. */
    interface Failure {
        name?: string;
        message: string;
        problem?: string | null;
        exit_status?: number | null;
    }

    interface Signal {
        path: string;
        interface: string;
        member: string;
    }

    interface DBusClient {
        call(
            path: string,
            iface: string,
            method: string,
            args?: unknown[],
            options?: { type?: string; flags?: string; timeout?: number },
        ): Promise<unknown[]>;
        subscribe(
            match: { path?: string; path_namespace?: string; interface?: string; member?: string; arg0?: string },
            callback: (path: string, iface: string, signal: string, args: unknown[]) => void,
        ): { remove(): void };
        addEventListener(event: "owner", callback: (event: unknown, owner: string | null) => void): void;
        addEventListener(event: "close", callback: (event: unknown, failure: Failure) => void): void;
        close(): void;
    }

    interface Process<Output> extends Promise<Output> {
        input(data?: string, stream?: boolean): Process<Output>;
        stream(callback: (data: Output) => void): Process<Output>;
        close(problem?: string): void;
    }

    interface Channel {
        send(data: string | ArrayBuffer): void;
        control(message: Record<string, unknown>): void;
        close(problem?: string): void;
        addEventListener(event: "message", callback: (event: unknown, data: string | Uint8Array) => void): void;
        addEventListener(event: "close", callback: (event: unknown, end: { problem?: string; message?: string }) => void): void;
    }

    interface Location {
        path: string[];
        options: Record<string, string | string[]>;
        go(path: string | string[], options?: Record<string, string>): void;
        replace(path: string | string[], options?: Record<string, string>): void;
    }

    interface Transport {
        csrf_token: string;
        wait(callback: () => void): void;
        control(command: string, options: Record<string, unknown>): void;
    }

    interface User {
        id: number;
        name: string;
        full_name: string;
    }

    function gettext(text: string): string;
    function ngettext(singular: string, plural: string, count: number): string;
    function dbus(
        name: string | null,
        options?: { bus?: "system" | "session" | "internal"; superuser?: "try" | "require"; track?: boolean },
    ): DBusClient;
    function spawn(
        command: string[],
        options?: { superuser?: "try" | "require"; err?: "message" | "out"; environ?: string[]; pty?: boolean },
    ): Process<string>;
    function channel(options: Record<string, unknown>): Channel;
    function user(): Promise<User>;
    function jump(path: string, host?: string): void;
    function addEventListener(event: "locationchanged" | "visibilitychange", callback: () => void): void;
    function removeEventListener(event: "locationchanged" | "visibilitychange", callback: () => void): void;

    const location: Location;
    const transport: Transport;
    const language: string;
    const hidden: boolean;
}

declare module "*.css";

interface Window {
    cockpit: typeof cockpit;
}
