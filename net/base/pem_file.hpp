#pragma once
// Files that OpenSSL reads.

#include <functional>
#include <string>

namespace tessera {

/// Has OpenSSL read a file that a setting names: `load` does, and returns 1 if it was good. Throws std::runtime_error that names
/// both and says why the file cannot be used; shortage_error if only descriptors or memory are wanting.
void read_pem_file(const char* setting, const std::string& file, const std::function<int()>& load);

/// Why the last call of OpenSSL in this thread failed; empty if nothing is known.
std::string openssl_text();

/// For SSL_CTX_set_default_passwd_cb: there is none. OpenSSL would ask on the terminal.
int no_password(char* into, int size, int writing, void* data);

} // namespace tessera
