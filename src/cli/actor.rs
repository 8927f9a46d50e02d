//! Who gives a command that the ledger records.

#[derive(Debug, clap::Args)]
pub(super) struct ActorArgs {
    /// Your name; kept in the ledger. Without it the name of the system's user.
    #[arg(long)]
    actor: Option<String>,
}

impl ActorArgs {
    pub(super) fn name(&self) -> String {
        self.actor.clone().unwrap_or_else(user)
    }
}

fn user() -> String {
    let uid = nix::unistd::Uid::effective();
    nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid:{uid}"), |user| user.name)
}
