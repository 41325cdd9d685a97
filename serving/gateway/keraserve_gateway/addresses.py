"""The addresses of model servers, as gRPC takes them."""

import ipaddress


def grpc_target(addresses: str) -> str:
    """Make gRPC's target of `host:port`, of a gRPC target, or of several IP addresses with ports.

    Raises:
        ValueError: several, and not all are IP addresses of one kind with ports.
    """
    if "," not in addresses or addresses.startswith(("ipv4:", "ipv6:")):
        return addresses
    several = [one.strip() for one in addresses.split(",")]
    try:
        kinds = {ipaddress.ip_address(one.rpartition(":")[0].strip("[]")).version for one in several}
    except ValueError:
        kinds = set[int]()
    if len(kinds) != 1:
        raise ValueError(
            "several addresses have to be IP addresses with ports; or take one name for all servers"
        )
    return f"ipv{kinds.pop()}:{','.join(several)}"
