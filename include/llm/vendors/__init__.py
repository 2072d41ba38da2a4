"""The vendors of language models behind one seam: `base` says what a vendor does, a module each does it."""

from include.llm.vendors.base import BatchProgress, BatchVendor, BatchVendors, Result, Unreadable, VendorBatch

__all__ = ["BatchProgress", "BatchVendor", "BatchVendors", "Result", "Unreadable", "VendorBatch"]
