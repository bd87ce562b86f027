// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// Returns whether what is written to this descriptor goes to the journal of systemd:
/// JOURNAL_STREAM names its device and inode, see systemd.exec(5). The variable alone does not
/// tell, because programs inherit it whose output was redirected.
bool leads_to_journal(int number);

}  // namespace handoff
