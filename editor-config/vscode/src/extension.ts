// Starts the language server and shows how its model is; completing is the language client's own work.

import type { ExtensionContext, LogOutputChannel } from "vscode";
import { commands, StatusBarAlignment, ThemeColor, Uri, window, workspace } from "vscode";
import type { LanguageClientOptions, StaticFeature } from "vscode-languageclient/node";
import { ExecuteCommandRequest, LanguageClient, State } from "vscode-languageclient/node";

/** What the server says about its model with `shardline/status`, and when asked for `shardline.status`. */
interface Status {
    state: "starting" | "loading" | "ready" | "busy" | "slow" | "failed";
    message: string;
    model: string;
    /** Of the last suggestion; there is none before the first. */
    usage?: {
        prompt_tokens: number;
        cached_tokens: number;
        completion_tokens: number;
        time_to_first_token: number;
        /** Null for a suggestion of a single token. */
        tokens_per_second: number | null;
    };
}

/** Without this the server does not send its status. */
const statusFeature: StaticFeature = {
    fillClientCapabilities(capabilities) {
        capabilities.experimental = { ...capabilities.experimental, shardlineStatus: true };
    },
    initialize() {},
    getState: () => ({ kind: "static" }),
    clear() {},
};

let client: LanguageClient;

export async function activate(context: ExtensionContext): Promise<void> {
    const names = Object.keys(context.extension.packageJSON.contributes.configuration.properties);
    const outputChannel = window.createOutputChannel("Shardline", { log: true });
    const item = window.createStatusBarItem("shardline.status", StatusBarAlignment.Right);
    item.name = "Shardline";
    item.command = "shardline.showStatus";
    item.show();

    let shown: Status;
    const show = (status: Status) => {
        shown = status;
        item.text = {
            starting: "$(loading~spin) Shardline",
            loading: `$(loading~spin) ${status.message}`,
            ready: "$(check) Shardline",
            busy: "$(sync~spin) Shardline",
            slow: "$(watch) Shardline",
            failed: "$(error) Shardline",
        }[status.state];
        item.tooltip = `Shardline: ${status.message}`;
        item.backgroundColor =
            status.state === "failed" ? new ThemeColor("statusBarItem.errorBackground") : undefined;
    };
    const fail = (message: string) => show({ state: "failed", message, model: "" });

    // Each start makes a client of its own, because one that could not start its server never can again.
    const start = async () => {
        const [command = "shardline", ...args] = workspace.getConfiguration("shardline").get<string[]>("command", []);
        client = new LanguageClient("shardline", "Shardline", { command, args }, options(names, outputChannel));
        client.registerFeature(statusFeature);
        client.onNotification("shardline/status", show);
        client.onDidChangeState(({ newState }) => {
            if (newState === State.Stopped) {
                fail("The server has stopped; its output says why.");
            }
        });
        show({ state: "starting", message: "The server is starting.", model: "" });
        try {
            await client.start();
        } catch (error) {
            fail(error instanceof Error ? error.message : String(error));
        }
    };

    context.subscriptions.push(
        outputChannel,
        item,
        commands.registerCommand("shardline.showStatus", async () => {
            const status = client.isRunning() ? await ask<Status>("shardline.status") : shown;
            void window.showInformationMessage(inWords(status));
        }),
        commands.registerCommand("shardline.showPlan", async () => {
            const plan = await ask<object>("shardline.plan");
            const content = JSON.stringify(plan, null, 2);
            await window.showTextDocument(await workspace.openTextDocument({ language: "json", content }));
        }),
        workspace.registerTextDocumentContentProvider("shardline", {
            provideTextDocumentContent: async ({ query }) =>
                (await ask<{ page: string }>("shardline.explain", query)).page,
        }),
        commands.registerCommand("shardline.showExplanation", async () => {
            const query = window.activeTextEditor?.document.uri.toString() ?? "";
            // A page of each time, because VS Code keeps those that it has.
            const fragment = `${Date.now()}`;
            const page = Uri.from({ scheme: "shardline", path: "/Why nothing showed.md", query, fragment });
            await commands.executeCommand("markdown.showPreview", page);
        }),
        commands.registerCommand("shardline.restartModel", () =>
            client.isRunning() ? ask("shardline.restart") : start(),
        ),
    );
    await start();
}

export async function deactivate(): Promise<void> {
    if (client.isRunning()) {
        await client.stop();
    }
}

function options(names: string[], outputChannel: LogOutputChannel): LanguageClientOptions {
    return {
        documentSelector: [
            ...["file", "untitled", "vscode-interactive-input", "vscode-remote", "vscode-vfs"].map((scheme) => ({ scheme })),
            { notebook: "*" },
        ],
        outputChannel,
        middleware: {
            // Beside ghost text the pop-up would offer what is shown already, and cover it.
            provideCompletionItem: (document, position, context, token, next) =>
                workspace.getConfiguration("editor", document).get("inlineSuggest.enabled")
                    ? undefined
                    : next(document, position, context, token),
            // The status bar item tells the same.
            handleWorkDoneProgress: () => {},
            workspace: {
                configuration: ({ items }) => items.map(() => settingsOfTheUser(names)),
                // Says only that something changed; the server then asks what.
                didChangeConfiguration: (_sections, next) => next(undefined),
            },
        },
    };
}

function ask<Answer>(command: string, ...args: unknown[]): Promise<Answer> {
    return client.sendRequest(ExecuteCommandRequest.type, { command, arguments: args });
}

/**
 * The settings that the user has set, nested as the server reads them. Defaults stay out: they would override
 * what the server was given on its command line.
 */
function settingsOfTheUser(names: string[]): Record<string, Record<string, unknown>> {
    const configuration = workspace.getConfiguration();
    const settings: Record<string, Record<string, unknown>> = {};
    for (const name of names) {
        const [, section, key] = name.split(".");
        const { globalValue, workspaceValue, workspaceFolderValue } = configuration.inspect(name) ?? {};
        const isSet = [globalValue, workspaceValue, workspaceFolderValue].some((value) => value !== undefined);
        // shardline.command has no section: it is for us, not for the server.
        if (isSet && section && key) {
            (settings[section] ??= {})[key] = configuration.get(name);
        }
    }
    return settings;
}

function inWords({ message, usage }: Status): string {
    if (!usage) {
        return message;
    }
    const speed = usage.tokens_per_second === null ? "" : `, tokens per second ${usage.tokens_per_second.toFixed(1)}`;
    return (
        `${message} Last suggestion: prompt tokens ${usage.prompt_tokens}, of them cached ${usage.cached_tokens}, ` +
        `completion tokens ${usage.completion_tokens}, time to first token ${usage.time_to_first_token.toFixed(2)} s${speed}.`
    );
}
