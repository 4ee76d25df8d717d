#pragma once

#include <iosfwd>
#include <string>

namespace tessera {

/// What `tessera journal` is told.
struct journal_command_setup {
  std::string action; ///< info, verify, salvage, compact or release
  std::string folder;
  bool json = false;
};

/// Looks into a journal that no service uses, and tells: what is in it (info); also whether each record can be read and is what
/// was written (verify); keeps of a damaged log what was written before the damage (salvage); gives the space of erased
/// keyframes back (compact); ends the quarantine of all keyframes, so that the next start takes them again (release). Answers 0,
/// or 1 if there is damage, or not all was given back. Throws journal_error, std::system_error if the disk has no room or fails,
/// and std::invalid_argument for another action.
int journal_command(const journal_command_setup& setup, std::ostream& out);

} // namespace tessera
