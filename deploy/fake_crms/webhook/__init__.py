"""The fake receiver of Standard Webhooks: portal.py."""

from deploy.fake_crms.webhook.portal import FAKE_SECRET, WebhookConfig, WebhookPortal

__all__ = ["FAKE_SECRET", "WebhookConfig", "WebhookPortal"]
