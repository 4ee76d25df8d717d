#include "net/base/ignoring_case.hpp"

#include <boost/beast/core/string.hpp>

namespace tessera {

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return boost::beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

bool is_content_type(std::string_view given, std::string_view wanted) {
  given = given.substr(0, given.find(';'));
  while (given.ends_with(' '))
    given.remove_suffix(1);
  return equal_ignoring_case(given, wanted);
}

} // namespace tessera
