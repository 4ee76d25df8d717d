#pragma once

#include <iosfwd>
#include <string>

namespace tessera {

/// What `tessera journal` is told.
struct journal_command_setup {
  std::string action; ///< info, verify, salvage, compact, release or export
  std::string folder;
  std::string output{}; ///< the file of an export
  bool json = false;
};

/// Looks into a journal that no service uses, and tells: what is in it (info); also whether each record can be read and is what
/// was written (verify); keeps of a damaged log what was written before the damage (salvage); gives the space of erased
/// keyframes back (compact); ends the quarantine of all keyframes, so that the next start takes them again (release);
/// writes the keyframes into a recording (export_journal). Answers 0, or 1 if there is damage, or not all was given back or
/// written. Throws journal_error, std::system_error if the disk has no room or fails, std::invalid_argument for another action.
int journal_command(const journal_command_setup& setup, std::ostream& out);

} // namespace tessera
