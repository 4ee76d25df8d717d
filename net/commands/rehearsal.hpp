#pragma once

#include <cstddef>
#include <exception>

namespace tessera {

/// Starts so many threads at once, takes so much memory beside their stacks (0: none), and gives all of it back: so that a start
/// that cannot succeed is refused here, in words, and not half-way inside a library that has no way back. Throws
/// std::runtime_error that says what is short and what to do.
void rehearse(size_t threads, size_t bytes);

/// Makes what would end the program with a signal and without a word (an exception that nobody may catch, a thread that a library
/// could not start) end it with the reason on standard error, and 1.
void end_with_reasons();

/// Ends the program at once, with the reason and 1: for a start that failed when there are actors already, which nobody could
/// end.
[[noreturn]] void give_up(const std::exception& why) noexcept;

} // namespace tessera
