//! Who may do what: one table, asked before every act and before a button is shown.

/// What somebody is at the store. The numbers are the ones on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Associate,
    Manager,
    It,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Associate, Role::Manager, Role::It];

    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Role::Associate => 1,
            Role::Manager => 2,
            Role::It => 3,
        }
    }

    #[must_use]
    pub fn of(code: i64) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.code() == code)
    }

    /// As forms name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Associate => "associate",
            Role::Manager => "manager",
            Role::It => "it",
        }
    }
}

/// What can be done on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// Pick, report short, make ready, refuse, acknowledge, put back.
    WorkOnOrders,
    HandOverOnCode,
    /// Without a code, on the word of whoever hands over.
    HandOverOnWord,
    UndoHandOver,
    Count,
    ApproveCount,
    Receive,
    Adjust,
    Waste,
    Transfer,
    PauseWeb,
    /// Ledger and audit as files.
    Export,
    SeeAudit,
    RetryQuarantined,
    ManagePeople,
    ManageDevices,
}

impl Deed {
    pub const ALL: [Deed; 16] = [
        Deed::WorkOnOrders,
        Deed::HandOverOnCode,
        Deed::HandOverOnWord,
        Deed::UndoHandOver,
        Deed::Count,
        Deed::ApproveCount,
        Deed::Receive,
        Deed::Adjust,
        Deed::Waste,
        Deed::Transfer,
        Deed::PauseWeb,
        Deed::Export,
        Deed::SeeAudit,
        Deed::RetryQuarantined,
        Deed::ManagePeople,
        Deed::ManageDevices,
    ];

    /// It moves stock or money, or opens doors: the PIN must have been given just now.
    #[must_use]
    pub fn needs_fresh_pin(self) -> bool {
        matches!(
            self,
            Deed::HandOverOnWord
                | Deed::UndoHandOver
                | Deed::ApproveCount
                | Deed::Adjust
                | Deed::Waste
                | Deed::Transfer
                | Deed::PauseWeb
                | Deed::ManagePeople
                | Deed::ManageDevices
        )
    }
}

/// What a role may do with a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    Yes,
    /// Once somebody of a role that may has given their PIN for it.
    WithApproval,
    No,
}

/// The table.
#[must_use]
pub fn may(role: Role, deed: Deed) -> May {
    use Deed::{
        Adjust, ApproveCount, Count, Export, HandOverOnCode, HandOverOnWord, ManageDevices, ManagePeople,
        PauseWeb, Receive, RetryQuarantined, SeeAudit, Transfer, UndoHandOver, Waste, WorkOnOrders,
    };
    match (role, deed) {
        (Role::Manager, _) => May::Yes,
        (Role::Associate, WorkOnOrders | HandOverOnCode | HandOverOnWord | Count | Receive) => May::Yes,
        (Role::Associate, UndoHandOver | Adjust | Waste | Transfer | ApproveCount | PauseWeb) => {
            May::WithApproval
        }
        (Role::Associate, Export | SeeAudit | RetryQuarantined | ManagePeople | ManageDevices) => May::No,
        (Role::It, Export | SeeAudit | RetryQuarantined | ManageDevices) => May::Yes,
        (
            Role::It,
            WorkOnOrders | HandOverOnCode | HandOverOnWord | UndoHandOver | Count | ApproveCount | Receive
            | Adjust | Waste | Transfer | PauseWeb | ManagePeople,
        ) => May::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_may_everything_and_can_approve_whatever_an_associate_needs_approved() {
        for deed in Deed::ALL {
            assert_eq!(may(Role::Manager, deed), May::Yes, "{deed:?}");
            if may(Role::Associate, deed) == May::WithApproval {
                assert!(deed.needs_fresh_pin(), "{deed:?}: an approval is a PIN given just now");
            }
        }
    }

    #[test]
    fn who_looks_after_machines_moves_no_stock_and_hires_nobody() {
        for deed in [Deed::Adjust, Deed::Waste, Deed::HandOverOnCode, Deed::ManagePeople, Deed::ApproveCount]
        {
            assert_eq!(may(Role::It, deed), May::No, "{deed:?}");
        }
        assert_eq!(may(Role::It, Deed::ManageDevices), May::Yes);
    }

    #[test]
    fn roles_keep_their_numbers() {
        for role in Role::ALL {
            assert_eq!(Role::of(role.code()), Some(role));
        }
        assert_eq!(Role::of(0), None);
    }
}
