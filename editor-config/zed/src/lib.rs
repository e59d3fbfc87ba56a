//! Starts `shardline`, which must be on the path.

use zed_extension_api::{self as zed, settings::LspSettings, LanguageServerId, Result, Worktree};

struct Shardline;

impl zed::Extension for Shardline {
    fn new() -> Self {
        Shardline
    }

    fn language_server_command(&mut self, _: &LanguageServerId, worktree: &Worktree) -> Result<zed::Command> {
        let command = worktree
            .which("shardline")
            .ok_or("`shardline` is not on the path. Install it, and start Zed from a shell that finds it.")?;
        Ok(zed::Command { command, args: vec![], env: worktree.shell_env() })
    }

    fn language_server_workspace_configuration(
        &mut self,
        _: &LanguageServerId,
        worktree: &Worktree,
    ) -> Result<Option<zed::serde_json::Value>> {
        let own = LspSettings::for_worktree("shardline", worktree)?.settings.unwrap_or_default();
        Ok(Some(zed::serde_json::json!({ "shardline": own })))
    }
}

zed::register_extension!(Shardline);
